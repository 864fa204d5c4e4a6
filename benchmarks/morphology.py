"""Time of measuring galaxies with statmorph, with one process and with one per core.

python benchmarks/morphology.py --num_images 1000 --resolution 64
"""

import json
import os
import time
from dataclasses import dataclass

import numpy as np

from galaxy_diffusion.evaluation.morphology import measure_all
from gz2_dataset.command_line import run
from gz2_dataset.crop import prepare_image
from gz2_dataset.images import decode
from gz2_dataset.mock.camera import photograph
from gz2_dataset.mock.population import draw_galaxy

DRAWN = 100
"""Different mock galaxies; more would only take longer to draw."""


@dataclass
class Config:
    """What to measure."""

    num_images: int = 1000
    """Galaxies."""
    resolution: int = 64
    """Side of the images in pixels."""


def main(config: Config) -> None:
    drawn = [decode(photograph(draw_galaxy(0, i), np.random.default_rng(i))) for i in range(DRAWN)]
    prepared = np.stack([prepare_image(pixels, config.resolution, 224) for pixels in drawn])
    images = prepared[np.arange(config.num_images) % DRAWN]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    seconds = {}
    for processes in (cores, 1):
        measure_all(images[:processes], processes)  # starts the processes and imports
        start = time.perf_counter()
        measure_all(images, processes)
        seconds[processes] = time.perf_counter() - start
    report = {"images": config.num_images, "resolution": config.resolution, "seconds_by_processes": seconds}
    print(json.dumps({**report, "ratio": seconds[1] / seconds[cores]}, indent=2))


if __name__ == "__main__":
    run(main, Config, __doc__)
