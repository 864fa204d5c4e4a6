"""Images for a measurement, generated once and kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.seeded_images import generate_batch
from gz2_dataset.arrays import jpeg_round_trip
from gz2_dataset.aside import written_aside


@dataclass(frozen=True)
class Drawn:
    """Images, and the cost of one of them.

    Attributes
    ----------
    images : ndarray of uint8, shape (N, H, W, 3)
        After JPEG compression.
    unet_calls : float
        Predictions of the UNet per image; a guided step takes two, for the class and for the null class.
    seconds : float
        Seconds of sampling per image, the median of the batches.
    """

    images: np.ndarray
    unet_calls: float
    seconds: float


def drawn_images(
    path: Path,
    pipeline: ClassConditionalDDPMPipeline,
    name: str,
    seeds: range,
    guidance_scale: float,
    steps: int,
    batch_size: int,
    **options: object,
) -> Drawn:
    """Images of one class, one per seed; see `kept_images`.

    ``options`` are more arguments of the pipeline, such as ``guidance_interval``.
    """
    label = pipeline.label_of(name)

    def draw(batch: list[int]) -> np.ndarray:
        return generate_batch(
            pipeline, [label] * len(batch), batch, guidance_scale=guidance_scale, num_inference_steps=steps, **options
        )

    return kept_images(path, draw, seeds, batch_size, pipeline.unet)


def kept_images(
    path: Path, draw: Callable[[list[int]], np.ndarray], seeds: range, batch_size: int, unet: torch.nn.Module
) -> Drawn:
    """What ``draw`` makes from seeds, kept in an .npz file that is read if it exists.

    Parameters
    ----------
    path : Path
    draw : callable
        Takes a batch of seeds, returns one image per seed: uint8, shape (B, H, W, 3).
    seeds : range
    batch_size : int
    unet : Module
        Whose calls are counted.
    """
    if not path.exists():
        images, seconds, predictions = [], [], []
        with unet.register_forward_hook(lambda net, inputs, output: predictions.append(len(inputs[0]))):
            for start in tqdm(range(0, len(seeds), batch_size), desc=path.stem, unit="batch", leave=False):
                batch = list(seeds[start : start + batch_size])
                started = time.perf_counter()
                drawn = draw(batch)
                seconds.append((time.perf_counter() - started) / len(batch))
                images += [jpeg_round_trip(image) for image in drawn]
        took = {"unet_calls": sum(predictions) / len(seeds), "seconds": np.median(seconds)}
        with written_aside(path) as aside:
            np.savez(aside, images=np.stack(images), **took)
    kept = np.load(path)
    return Drawn(kept["images"], float(kept["unet_calls"]), float(kept["seconds"]))
