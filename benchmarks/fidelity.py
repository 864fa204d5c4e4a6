"""Time and memory of a fidelity evaluation: features, figures with floors, and the search for copies.

python benchmarks/fidelity.py --num_images 5000 --resolution 224
"""

import json
import time
from dataclasses import dataclass

import numpy as np
import torch

from galaxy_diffusion.evaluation.distances import estimates, frechet_distance, values
from galaxy_diffusion.evaluation.features import extract, load_net
from galaxy_diffusion.evaluation.floors import Sets, compare, compare_distance
from galaxy_diffusion.evaluation.nearest import Gallery
from galaxy_diffusion.evaluation.rings import measure
from galaxy_diffusion.shared.machine import peak_memory
from gz2_dataset.command_line import run


@dataclass
class Config:
    """What to measure."""

    num_images: int = 5000
    """Generated images, and equally many real ones in each of: the reference, the floor, and those that the generator
    saw."""
    resolution: int = 224
    """Side of the images in pixels."""
    net: str = "inception"
    """Feature net."""
    batch_size: int = 64
    """Images at a time."""


def main(config: Config) -> None:
    n = config.num_images
    # Neither time nor memory depends on the content of the images.
    images = np.random.default_rng(0).integers(0, 256, (n, config.resolution, config.resolution, 3), dtype=np.uint8)
    net = load_net(config.net)
    seconds = {}

    start = time.perf_counter()
    vectors = extract(images, net, config.batch_size)
    seconds["features"] = time.perf_counter() - start

    start = time.perf_counter()
    others = np.random.default_rng(1).normal(size=(2 * n, vectors.shape[1])) * vectors.std(axis=0) + vectors.mean(
        axis=0
    )
    sets = [Sets(np.arange(n), np.arange(n, 2 * n), np.arange(n))]
    compared = others.astype(np.float32), vectors, sets
    if net.name == "inception":
        compare(estimates, values, *compared)
    else:
        compare_distance(f"frechet_{net.name}", frechet_distance, *compared)
    seconds["figures"] = time.perf_counter() - start

    start = time.perf_counter()
    Gallery(measure(images)).nearest_others()
    seconds["copies"] = time.perf_counter() - start

    gigabytes = peak_memory(torch.device("cpu")) / 2**30
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    report = {"images": n, "resolution": config.resolution, "net": net.name, "device": device, "seconds": seconds}
    print(json.dumps({**report, "host_gigabytes": gigabytes}, indent=2))


if __name__ == "__main__":
    run(main, Config, __doc__)
