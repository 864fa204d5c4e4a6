"""What a diffusion model is trained on: noise schedules, prediction types and the weight of each noise level."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from galaxy_diffusion.generators.batches import Batch, BatchSource, to_model_range
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from galaxy_diffusion.sampling.schedulers import bounded_betas
from galaxy_diffusion.shared.noise import noise_like
from galaxy_diffusion.shared.symmetry import turn
from gz2_dataset import UserError

DISTURBED = 2**31
"""The bit in which the seed of a perturbation differs from that of the noise."""


def make_noise_scheduler(
    schedule: Literal["linear", "squaredcos_cap_v2"],
    num_train_timesteps: int,
    prediction_type: Literal["epsilon", "sample", "v_prediction"],
    zero_terminal_snr: bool = False,
    noise_shift: float = 1.0,
    clip_sample: bool = True,
) -> DDPMScheduler:
    """The noise schedule of a training, as a diffusers scheduler.

    Parameters
    ----------
    schedule : {"linear", "squaredcos_cap_v2"}
        Linear betas (Ho et al. 2020) or the cosine schedule (Nichol & Dhariwal 2021).
    num_train_timesteps : int
        T.
    prediction_type : {"epsilon", "sample", "v_prediction"}
    zero_terminal_snr : bool
        Rescale the betas so that nothing of the image is left at T (Lin et al. 2024, arXiv:2305.08891); the linear
        schedule leaves 0.6 % of its amplitude, which gives away the mean brightness.
    noise_shift : float
        Multiplies the largest noise levels by this and the smallest by 1. The shape of a galaxy, one coherent object,
        is decided at noise levels that grow with the number of its pixels, its sky at low ones. See `bounded_betas`.
    clip_sample : bool
        Whether ddpm and ddim keep the image within [-1, 1] at each step; standardised images exceed that range.

    Raises
    ------
    UserError
        If the noise is to be predicted from noise alone, or both `zero_terminal_snr` and `noise_shift` are given.
    """
    if zero_terminal_snr and prediction_type == "epsilon":
        raise UserError(
            "zero_terminal_snr: noise alone says nothing about the image when epsilon is predicted; "
            "use --prediction_type v_prediction or sample"
        )
    if zero_terminal_snr and noise_shift != 1.0:
        raise UserError(
            "noise_shift bounds the noise levels, zero_terminal_snr makes the last one infinite; leave one of them out"
        )
    plain = DDPMScheduler(num_train_timesteps, beta_schedule=schedule)
    return DDPMScheduler(
        num_train_timesteps,
        beta_schedule=schedule,
        trained_betas=None if noise_shift == 1.0 else bounded_betas(plain, noise_shift),
        prediction_type=prediction_type,
        rescale_betas_zero_snr=zero_terminal_snr,
        clip_sample=clip_sample,
    )


def standardized(batches: BatchSource, patch_size: int, num_images: int = 2048) -> ImageFormat:
    """The image format in which the images of a training have mean 0 in each channel and standard deviation 1.

    Parameters
    ----------
    batches : BatchSource
        The mean and deviation are those of its first images, the same in every process and every call of a run.
    patch_size : int
    num_images : int
    """
    starts = range(0, num_images, batches.batch_size)
    images = torch.cat([to_model_range(batches.at(start).images, torch.device("cpu")) for start in starts])
    mean = images.mean(dim=(0, 2, 3))
    std = (images - mean.view(-1, 1, 1)).square().mean().sqrt()
    return ImageFormat(tuple(round(value, 4) for value in mean.tolist()), round(float(std), 4), patch_size)


@dataclass(frozen=True)
class Objective:
    """The training loss, image by image.

    Attributes
    ----------
    scheduler : DDPMScheduler
        Noise schedule and prediction type.
    min_snr_gamma : float
        Upper limit of the signal-to-noise ratio by which the loss is weighted, as a loss of the image itself (Hang
        et al. 2023, arXiv:2303.09556); 0 leaves the loss of the prediction unweighted.
    input_perturbation : float
        Standard deviation, in units of the noise, of further noise that the net sees but does not predict (Ning et al.
        2023, arXiv:2301.11706; they take 0.1).
    image_format : ImageFormat
        How the net sees images.
    """

    scheduler: DDPMScheduler
    min_snr_gamma: float = 0.0
    input_perturbation: float = 0.0
    image_format: ImageFormat = field(default_factory=ImageFormat)

    def __post_init__(self) -> None:
        if self.min_snr_gamma and self.scheduler.config.rescale_betas_zero_snr:
            raise UserError(
                "min_snr_gamma gives the last timestep of zero_terminal_snr, from which sampling starts, no weight; "
                "leave one of them out"
            )

    def losses(self, unet: torch.nn.Module, batch: Batch, device: torch.device) -> torch.Tensor:
        """Weighted squared error of the prediction, averaged over pixels, of each image, shape (B,)."""
        labels, symmetry, timesteps = (
            column.to(device, non_blocking=True) for column in (batch.labels, batch.symmetry, batch.timesteps)
        )
        clean = turn(self.image_format.standardize(to_model_range(batch.images, device)), symmetry)
        seeds = batch.noise_seeds
        noise = seen = noise_like(clean, seeds)
        if self.input_perturbation:
            seen = noise + self.input_perturbation * noise_like(clean, seeds ^ DISTURBED)
        noisy = self.scheduler.add_noise(clean, seen, timesteps)
        prediction = self.image_format.predict(unet, noisy, timesteps, labels)
        errors = (prediction.float() - self.target(clean, noise, timesteps)).square().mean(dim=(1, 2, 3))
        return self.weights(timesteps) * errors if self.min_snr_gamma else errors

    def target(self, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """The regression target: the noise (eq. 19), the image, or the velocity of Salimans & Ho 2022."""
        if self.scheduler.config.prediction_type == "v_prediction":
            return self.scheduler.get_velocity(clean, noise, timesteps)
        return noise if self.scheduler.config.prediction_type == "epsilon" else clean

    def weights(self, timesteps: torch.Tensor) -> torch.Tensor:
        """Weight of each timestep's loss: min(SNR, gamma), relative to the weight that the prediction type implies."""
        snr = compute_snr(self.scheduler, timesteps)
        own = {"epsilon": snr, "sample": torch.ones_like(snr), "v_prediction": snr + 1}
        return snr.clamp(max=self.min_snr_gamma) / own[self.scheduler.config.prediction_type]
