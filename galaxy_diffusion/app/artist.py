"""The diffusion model of the page: its settings within bounds, a pipeline for each sampler, what it draws."""

from collections.abc import Iterator
from functools import cached_property, lru_cache

import numpy as np
import torch

from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.journeys import emerging, interpolate
from galaxy_diffusion.sampling.schedulers import SCHEDULERS, STOCHASTIC
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.sampling.settings import Sampling
from galaxy_diffusion.shared.seen_images import seen_crop
from gz2_dataset import UserError
from gz2_dataset.crop import GZ2_CROP, prepare_image

MAX_STEPS = 100
QUICK = [name for name, sampler in SCHEDULERS.items() if sampler.steps <= MAX_STEPS]
"""Samplers for somebody who waits: those that need no more than `MAX_STEPS`."""
DETERMINISTIC = next(name for name in QUICK if name not in STOCHASTIC)
"""Sampler between two seeds: noise added on the way would hide them."""
BOUNDS = {"seed": (0, 2**31 - 1), "guidance_scale": (0.0, 8.0), "strength": (0.05, 1.0)}
FRAMES, VARIATIONS = 9, 4
"""Images between two galaxies, both included, and variations of one."""


def check_bounds(**values: float | None) -> None:
    """Raise a `UserError` if a number of the page is missing or outside of its `BOUNDS`.

    Examples
    --------
    >>> check_bounds(seed=3, strength=0.5)
    """
    for name, value in values.items():
        low, high = BOUNDS[name]
        if value is None or not low <= value <= high:
            raise UserError(f"{name}: {value} is not a number from {low} to {high}")


class Artist:
    """A diffusion model that draws for the page.

    Parameters
    ----------
    model : str
        Pipeline folder, Hub id, or the name of a shipped model.
    device : torch.device

    Raises
    ------
    UserError
        If it cannot be loaded or is not a diffusion model.
    """

    def __init__(self, model: str, device: torch.device):
        self.model, self.device = model, device
        self.pipeline = lru_cache(len(SCHEDULERS))(self._load)
        self.class_names = self.pipeline(QUICK[0]).class_names

    def _load(self, scheduler: str) -> ClassConditionalDDPMPipeline:
        # One for each sampler: a scheduler that was made from another sampler's would inherit its options.
        pipeline = load_pipeline(self.model, scheduler, self.device)
        if not isinstance(pipeline, ClassConditionalDDPMPipeline):
            raise UserError(f"{self.model}: is not a diffusion model; give the output_dir of train_ddpm.py")
        return pipeline

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.pipeline(QUICK[0]).image_shape[-1]

    @cached_property
    def center_crop(self) -> int:
        """Side of the square that the model has seen of each image; of an unknown model, that of Galaxy Zoo 2."""
        crop = seen_crop(self.model)
        return GZ2_CROP if crop is None else crop

    def dream(self, class_name: str, seed: int, guidance_scale: float, scheduler: str) -> Iterator[np.ndarray]:
        """A galaxy while it forms, as in `journeys.emerging`."""
        check_bounds(seed=seed, guidance_scale=guidance_scale)
        if scheduler not in QUICK:
            raise UserError(f"scheduler {scheduler!r}: is not one of {', '.join(QUICK)}")
        pipeline = self.pipeline(scheduler)
        options = Sampling(scheduler, guidance_scale=guidance_scale).kwargs
        return emerging(pipeline, self.label_of(class_name), seed, **options)

    def draw(self, class_name: str, seed: int) -> np.ndarray:
        """A galaxy (H, W, 3) with the default settings, as generate.py gives it."""
        check_bounds(seed=seed)
        sampling = Sampling()
        return generate_batch(
            self.pipeline(sampling.scheduler), [self.label_of(class_name)], [seed], **sampling.kwargs
        )[0]

    def between(self, first: tuple[str, int], last: tuple[str, int]) -> np.ndarray:
        """Images (FRAMES, H, W, 3) from one class and seed to another."""
        for class_name, seed in (first, last):
            check_bounds(seed=seed)
            self.label_of(class_name)
        return interpolate(self.pipeline(DETERMINISTIC), [first, last], FRAMES, **Sampling(DETERMINISTIC).kwargs)

    def vary(self, pixels: np.ndarray, class_name: str, seed: int, strength: float) -> np.ndarray:
        """Variations (VARIATIONS, H, W, 3) of an image of any size, of the seeds from ``seed`` on."""
        check_bounds(seed=seed, strength=strength)
        start = prepare_image(pixels, self.resolution, self.center_crop).astype(np.float32) / 255
        sampling = Sampling(strength=strength)
        labels, seeds = [self.label_of(class_name)] * VARIATIONS, [seed + i for i in range(VARIATIONS)]
        images = np.repeat(start[None], VARIATIONS, axis=0)
        return generate_batch(self.pipeline(sampling.scheduler), labels, seeds, image=images, **sampling.kwargs)

    def label_of(self, class_name: str) -> int:
        """The index of a class; a `UserError` if there is none of that name."""
        if class_name not in self.class_names:
            raise UserError(f"class {class_name!r}: is not one of {', '.join(self.class_names)}")
        return self.class_names.index(class_name)
