"""Images of one class for a measurement, drawn once and kept."""

from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.seeded_images import generate_batch
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
    if not path.exists():
        images = []
        for start in tqdm(range(0, len(seeds), batch_size), desc=path.stem, unit="batch", leave=False):
            batch = list(seeds[start : start + batch_size])
            labels = [pipeline.label_of(name)] * len(batch)
            drawn = generate_batch(pipeline, labels, batch, guidance_scale, steps)
            images += [jpeg_round_trip(image) for image in drawn]
        with written_aside(path) as aside:
            np.savez(aside, images=np.stack(images))
    return np.load(path)["images"]
