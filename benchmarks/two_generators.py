"""Learned or memorised? Two generators trained on disjoint halves, their images drawn with the same seeds.

    python -m gz2_dataset build --data_dir SOURCE --output half0 --num_folds 2 --fold 0 --test_per_class 100000
    python -m gz2_dataset build --data_dir SOURCE --output half1 --num_folds 2 --fold 1 --test_per_class 100000
    train_ddpm.py on each (unlabelled_share 0: both would see these galaxies), generate.py with the same --seed, then
    python benchmarks/two_generators.py --folders "[images0,images1]" --data "[half0,half1]"

The two folds divide each class among them, so that what one net learns from the other has never seen.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galaxy_diffusion.evaluation.metrics import metric_title
from galaxy_diffusion.evaluation.two_generators import two_generators
from galaxy_diffusion.sampling.contact_sheets import save_picture, tile
from galaxy_diffusion.shared.image_folder import load_generated, read_metadata
from galaxy_diffusion.shared.names import class_title
from galaxy_diffusion.shared.seen_images import read_seen_images
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from gz2_dataset.command_line import run
from gz2_dataset.markdown import markdown_table


@dataclass
class Config:
    """What to compare."""

    folders: list[str]
    """The output folders of generate.py of both nets."""
    data: list[str]
    """The data that each has learned from."""
    resolution: int = 32
    """Side of the images in pixels."""
    seed: int = 0
    """Of which galaxies are left out of the larger half of a class."""
    picture: Path | None = None
    """PNG to write: of each class the first images of one net, and below them the other's of the same seeds."""


def main(config: Config) -> None:
    halves = [load_arrays(data, "train", config.resolution, jpeg=True) for data in config.data]
    if shared := {*halves[0].image_ids} & {*halves[1].image_ids}:
        raise UserError(f"{config.data[1]}: galaxy {min(shared)} is in both halves; build the two folds of one source")
    for folder, half, other in zip(config.folders, halves, halves[::-1], strict=True):
        seen = read_seen_images(folder)
        if len(seen.rows(other)) or not len(seen.rows(half)):
            raise UserError(f"{folder}: its generator has not seen its half alone; give folders and data in one order")
    first, second = (
        load_generated(folder, half.class_names, config.resolution, half.center_crop)
        for folder, half in zip(config.folders, halves, strict=True)
    )
    rows = matched(*map(places, config.folders))
    generated = [first.take(rows[0]), second.take(rows[1])]
    if config.picture:
        save_picture(config.picture, side_by_side(generated))
    found = two_generators(generated, halves, config.seed)
    table = [
        [class_title(name), metric_title(metric), f"{f.value:.3f} [{f.low:.3f}, {f.high:.3f}]", *map(str, sizes)]
        for name, figures in found.items()
        for metric, f in figures.items()
        for sizes in [(f.n_generated, f.n_real)]
    ]
    print(markdown_table(("class", "figure", "share, 0.5 by chance", "images", "galaxies in a half"), table))


def side_by_side(generated: list[GalaxyArrays], columns: int = 16) -> np.ndarray:
    """Two rows for each class, each image at twice its size, shape (R * H, C * W, 3)."""
    classes = [name for name in generated[0].class_names if len(generated[0].of_class(name))]
    rows = [side.images[side.of_class(name)[:columns]] for name in classes for side in generated]
    width = min(map(len, rows))
    return tile(np.stack([row[:width] for row in rows])).repeat(2, axis=0).repeat(2, axis=1)


def places(folder: str) -> dict[tuple[str, int], int]:
    """The row of each class and seed in a folder."""
    return {(row["label"], row["seed"]): number for number, row in enumerate(read_metadata(folder))}


def matched(first: dict[tuple[str, int], int], second: dict[tuple[str, int], int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the images that both folders have, in one order."""
    if not (both := sorted(first.keys() & second.keys())):
        raise UserError("the folders have no class and seed in common; generate both with the same --seed")
    return np.array([first[key] for key in both]), np.array([second[key] for key in both])


if __name__ == "__main__":
    run(main, Config, __doc__)
