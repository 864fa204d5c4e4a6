"""Images for a measurement, drawn once and kept."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from galaxy_diffusion.generation import generate_batch
from galaxy_diffusion.pipeline import ClassConditionalDDPMPipeline
from gz2_dataset.arrays import jpeg_round_trip
from gz2_dataset.aside import written_aside


def drawn_images(
    path: Path,
    pipeline: ClassConditionalDDPMPipeline,
    name: str,
    seeds: range,
    guidance_scale: float,
    steps: int,
    batch_size: int,
) -> np.ndarray:
    """Images of one class after their JPEG, a seed each, kept in an .npz file that is read where it is there.

    Returns
    -------
    ndarray of uint8, shape (N, H, W, 3)
    """

    def draw(batch: range) -> np.ndarray:
        labels = [pipeline.label_of(name)] * len(batch)
        return generate_batch(pipeline, labels, list(batch), guidance_scale, steps)

    return kept_images(path, draw, seeds, batch_size)


def kept_images(path: Path, draw: Callable[[range], np.ndarray], seeds: range, batch_size: int) -> np.ndarray:
    """What ``draw`` makes of seeds, after its JPEG, kept in an .npz file that is read where it is there.

    Parameters
    ----------
    path : Path
    draw : callable
        Takes a batch of seeds, gives an image each: uint8, shape (B, H, W, 3).
    seeds : range
    batch_size : int

    Returns
    -------
    ndarray of uint8, shape (N, H, W, 3)
    """
    if not path.exists():
        images = []
        for start in tqdm(range(0, len(seeds), batch_size), desc=path.stem, unit="batch", leave=False):
            images += [jpeg_round_trip(image) for image in draw(seeds[start : start + batch_size])]
        with written_aside(path) as aside:
            np.savez(aside, images=np.stack(images))
    return np.load(path)["images"]
