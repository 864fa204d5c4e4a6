"""Too little, right, too much: the same galaxies with other settings of the sampling, for docs/choosing.md.

    python benchmarks/parameter_pictures.py --output_dir docs/images --mixed_precision bf16

A row is a setting, a column a galaxy: the first seeds of each class. Nothing is picked.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.gallery import save_jpeg
from galaxy_diffusion.sampling.contact_sheets import tile
from galaxy_diffusion.sampling.schedulers import DEFAULT
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.sampling.settings import Sampling
from gz2_dataset.command_line import run

SETTINGS = {
    "guidance_scale": [Sampling(guidance_scale=scale) for scale in (0.0, 1.0, 2.0, 6.0)],
    "num_inference_steps": [Sampling(num_inference_steps=steps) for steps in (5, 12, 35, 100)],
}


@dataclass
class Config:
    """Settings of the pictures."""

    output_dir: Path
    """Folder for choosing_guidance_scale.jpg and choosing_num_inference_steps.jpg."""
    model: str = "galaxies-64"
    """A diffusion model: its folder, Hub id, or the name of one that comes with the project."""
    seeds: int = 2
    """Galaxies of each class, from seed 0."""
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """Precision of the net."""


def main(config: Config) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipe = load_pipeline(config.model, DEFAULT, device, config.mixed_precision)
    classes = range(len(pipe.class_names))
    labels, seeds = zip(*[(label, seed) for label in classes for seed in range(config.seeds)], strict=True)
    for name, settings in SETTINGS.items():
        rows = [generate_batch(pipe, list(labels), list(seeds), **sampling.kwargs) for sampling in settings]
        save_jpeg(config.output_dir / f"choosing_{name}.jpg", tile(np.stack(rows)))


if __name__ == "__main__":
    with torch.inference_mode():
        run(main, Config, __doc__)
