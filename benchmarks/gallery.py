"""The gallery of a generator: galaxies of each class, on their way, between two, and varied; as pictures and a page.

    python benchmarks/gallery.py --output_dir docs --work_dir runs/gallery --mixed_precision bf16

writes docs/images/*.jpg, docs/images/emerging.webp and docs/gallery.md. Nothing is picked: seeds are counted from the
first one. The galaxy that is varied is generated, so that no image of a survey is needed or shown. To continue after an
interruption, run the same command again: galaxies in work_dir and pictures are kept; remove them to draw them anew.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

import generate
from galaxy_diffusion.sampling.contact_sheets import save_animation, tile
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.journeys import generate_trajectory, interpolate
from galaxy_diffusion.sampling.schedulers import DEFAULT, make_scheduler
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.sampling.settings import Sampling
from galaxy_diffusion.shared.image_folder import file_of
from galaxy_diffusion.shared.names import class_title
from gz2_dataset import UserError
from gz2_dataset.aside import write_whole, written_aside
from gz2_dataset.command_line import run

COLUMNS = 10
STRENGTHS = (0.2, 0.4, 0.6, 0.8)
WITHOUT_NOISE = "unipc"
"""A sampler that adds no noise on the way, as a path between two seeds needs."""


@dataclass
class Config:
    """Settings of the gallery."""

    output_dir: Path
    """Folder for gallery.md and images/."""
    work_dir: Path
    """Folder for the galaxies of each class, as generate.py writes it."""
    model: str = "galaxies-64"
    """A diffusion model: its folder, Hub id, or the name of one that comes with the project."""
    num_images: int = 100
    """Galaxies of each class; tens fill the rows."""
    seed: int = 0
    """Seed of the first image of each class."""
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """Precision of the net."""


def main(config: Config) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipe = load_pipeline(config.model, DEFAULT, device, config.mixed_precision)
    if not isinstance(pipe, ClassConditionalDDPMPipeline):
        raise UserError(f"{config.model}: is not a diffusion model; the gallery also shows images on their way")
    images, seed = config.output_dir / "images", config.seed
    once(images / "emerging.webp", lambda path: save_animation(path, emerging(pipe, seed), quality=50))
    once(images / "between_classes.jpg", lambda path: save_jpeg(path, between_classes(pipe, seed)))
    once(images / "variations.jpg", lambda path: save_jpeg(path, variations(pipe, seed)))
    pipe.scheduler = make_scheduler(WITHOUT_NOISE, pipe.scheduler)
    once(images / "between_seeds.jpg", lambda path: save_jpeg(path, between_seeds(pipe, seed)))

    options = {"seed": seed, "batch_size": COLUMNS, "mixed_precision": config.mixed_precision}
    generate.main(generate.Config(config.model, str(config.num_images), config.work_dir, **options))
    for name in pipe.class_names:
        save_jpeg(images / f"gallery_{name}.jpg", sheet(config, name))
    write_whole(config.output_dir / "gallery.md", page(config, pipe.class_names))
    print(f"gallery: {config.output_dir / 'gallery.md'}")


def once(path: Path, make: Callable[[Path], None]) -> None:
    """Make a picture that is not there yet."""
    if not path.exists():
        make(path)


def sheet(config: Config, class_name: str) -> np.ndarray:
    """The galaxies of a class, ten in a row; shape (R * H, 10 * W, 3)."""
    seeds = range(config.seed, config.seed + config.num_images)
    galaxies = [np.asarray(Image.open(file_of(config.work_dir, class_name, seed))) for seed in seeds]
    rows = -(-len(galaxies) // COLUMNS)
    pixels = np.zeros((rows * COLUMNS, *galaxies[0].shape), np.uint8)
    pixels[: len(galaxies)] = galaxies
    return tile(pixels.reshape(rows, COLUMNS, *galaxies[0].shape))


def emerging(pipe: ClassConditionalDDPMPipeline, seed: int, rows: int = 3, every: int = 40) -> np.ndarray:
    """Galaxies from noise, a column for each class; shape (classes, F, rows * H, W, 3)."""
    journeys = [generate_trajectory(pipe, seed + i, every, **Sampling().kwargs)[0] for i in range(rows)]
    return np.concatenate(journeys, axis=2)


def between_classes(pipe: ClassConditionalDDPMPipeline, seed: int) -> np.ndarray:
    """From each class to the next, all with one seed: a row each."""
    ends = [[(first, seed), (last, seed)] for first, last in pairwise(pipe.class_names)]
    return tile(np.stack([interpolate(pipe, pair, COLUMNS, **Sampling().kwargs) for pair in ends]))


def between_seeds(pipe: ClassConditionalDDPMPipeline, seed: int) -> np.ndarray:
    """From one galaxy of a class to another: a row for each class."""
    ends = [[(name, seed), (name, seed + 1)] for name in pipe.class_names]
    sampling = Sampling(WITHOUT_NOISE).kwargs
    return tile(np.stack([interpolate(pipe, pair, COLUMNS, **sampling) for pair in ends]))


def variations(pipe: ClassConditionalDDPMPipeline, seed: int) -> np.ndarray:
    """A generated galaxy of the last class, and what becomes of it with each strength: a row for each strength."""
    label = len(pipe.class_names) - 1
    galaxy = generate_batch(pipe, [label], [seed], **Sampling().kwargs)
    count = COLUMNS - 1
    seeds = list(range(seed + 1, seed + 1 + count))
    original = np.repeat(galaxy / 255, count, axis=0).astype(np.float32)
    rows = [
        generate_batch(pipe, [label] * count, seeds, image=original, **Sampling(strength=strength).kwargs)
        for strength in STRENGTHS
    ]
    return tile(np.stack([np.concatenate([galaxy, row]) for row in rows]))


def save_jpeg(path: Path, pixels: np.ndarray) -> None:
    with written_aside(path) as aside:
        Image.fromarray(pixels).save(aside, "JPEG", quality=88, optimize=True)


def page(config: Config, class_names: list[str]) -> str:
    """The gallery as Markdown."""
    count, last = config.num_images, class_names[-1]
    options = f"--model {config.model} --num_images {count} --mixed_precision {config.mixed_precision}"
    classes = "\n\n".join(
        f"### {class_title(name)}\n\n![{class_title(name)}: {count} galaxies](images/gallery_{name}.jpg)"
        for name in class_names
    )
    pairs = ", ".join(class_title(name).lower() for name in class_names)
    strengths = ", ".join(map(str, STRENGTHS))
    default, calm = Sampling(), Sampling(WITHOUT_NOISE)
    return f"""# Gallery

Galaxies that `{config.model}` draws, and no real one. Nothing is picked: the seeds are
{config.seed}, {config.seed + 1}, and so on. One command makes all of it, this page too:

```text
python benchmarks/gallery.py --output_dir docs --work_dir runs/gallery {options}
```

## From noise

![Galaxies emerging from noise, a column for each class](images/emerging.webp)

A column for each class ({pairs}), a row for each seed, with {default.scheduler} in {default.num_inference_steps} steps.

## {count} of each class

{classes}

## Between two classes

![Galaxies between two classes](images/between_classes.jpg)

The same seed all along; the class goes in ten steps from one to the next ({pairs}).
`generate.py --interpolate` makes such a row.

## Between two galaxies

![Galaxies between two seeds](images/between_seeds.jpg)

One class in each row, from seed {config.seed} to seed {config.seed + 1}. The sampler is
{calm.scheduler}, because one that adds noise at each step would make all ten alike.

## Variations of a galaxy

![Variations of a generated galaxy](images/variations.jpg)

Left, in every row, the same generated galaxy ({class_title(last).lower()}); beside it nine variations of strength
{strengths}, from the first row to the last. A strength is the share of the steps that the galaxy goes back through.
`generate.py --variations_of DATA --strength` does this with the real galaxies of your training set.
"""


if __name__ == "__main__":
    with torch.inference_mode():
        run(main, Config, __doc__)
