"""Folders of generated images, of any generators, beside the same unseen real galaxies at one resolution.

    python benchmarks/compare_folders.py --folders "[A,B]" --data DATA --resolution 32 --output OUT.md

KID and recall in Inception's features, and the sky's amplitude over that of real galaxies, of each class; the last rows
are what real galaxies get that are drawn at random from the train split, against the same unseen ones. Images larger
than the resolution are reduced (Lanczos), real ones are read at it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.class_figures import Figures, beside_real, measure
from galaxy_diffusion.evaluation.floors import MIN_IMAGES, Sets
from galaxy_diffusion.evaluation.jackknife import Estimate
from galaxy_diffusion.shared.image_folder import load_generated
from galaxy_diffusion.shared.names import class_title
from galaxy_diffusion.shared.seen_images import refuse_if_seen
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from gz2_dataset.arrays import concatenate
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import run
from gz2_dataset.markdown import as_text, markdown_table

UNSEEN = ("validation", "test")


@dataclass
class Config:
    """Settings of the comparison."""

    folders: list[str]
    """Output folders of generate.py."""
    data: str
    """Data whose validation and test galaxies none of the generators has seen."""
    output: Path
    """Markdown file for the table."""
    resolution: int = 32
    """Side in pixels at which all images are measured."""
    seed: int = 0
    """Of the real galaxies in the last rows."""


def main(config: Config) -> None:
    unseen = {split: load_arrays(config.data, split, config.resolution, jpeg=True) for split in UNSEEN}
    real = concatenate(list(unseen.values()))
    train = load_arrays(config.data, "train", config.resolution, jpeg=True)
    rows, most = [], 0
    for folder in tqdm(config.folders, desc="folders"):
        refuse_if_seen(folder, unseen)
        generated = load_generated(folder, real.class_names, side_of(folder), real.center_crop)
        most = max(most, int(generated.counts.max()))
        rows += rows_of(Path(folder).name, generated, real, config.resolution)
    rng = np.random.default_rng(config.seed)
    chosen = [rng.permutation(train.of_class(name))[:most] for name in train.class_names]
    rows += rows_of("real train galaxies", train.take(np.concatenate(chosen)), real, config.resolution)
    head = ("images", "class", "n", "real", "1000 KID", "recall", "sky amplitude over real")
    write_whole(config.output, markdown_table(head, rows) + "\n")
    print(config.output.read_text())


def side_of(folder: str) -> int:
    """Side in pixels of the images of a folder, by the first of them."""
    path = next(Path(folder).glob("*/*.*"), None)
    if path is None:
        raise UserError(f"{folder}: no images; run generate.py first")
    with Image.open(path) as image:
        return image.width


def rows_of(name: str, images: GalaxyArrays, real: GalaxyArrays, resolution: int) -> list[list[str]]:
    """A row for each class of ``images``, and the mean of their KIDs."""
    rows, kids = [], []
    for class_name in real.class_names:
        theirs, ours = images.of_class(class_name), real.of_class(class_name)
        if min(len(theirs), len(ours)) < MIN_IMAGES:
            continue
        n = np.arange(len(ours))
        figures = beside_real(
            measure(images.images[theirs], resolution),
            measure(real.images[ours], resolution),
            Sets(n, np.arange(len(theirs)), np.arange(len(theirs))),
        )
        kids.append(figures.kid.value)
        rows.append([as_text(name), class_title(class_name), *cells(figures)])
    rows.append([as_text(name), "mean of the classes", "", "", f"{1000 * np.mean(kids):.1f}", "", ""])
    return rows


def cells(figures: Figures) -> list[str]:
    recall = shown(figures.recall, "{:.2f}") if figures.recall else "–"
    n = [str(figures.n_generated), str(figures.n_real)]
    return [*n, shown(figures.kid, "{:.1f}", 1000), recall, shown(figures.sky_amplitude, "{:.2f}")]


def shown(estimate: Estimate, form: str, factor: float = 1.0) -> str:
    value, low, high = (form.format(factor * x) for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
