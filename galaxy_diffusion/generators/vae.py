"""How the class-conditional VAE is trained: the nets, and the bound on the likelihood that they maximise."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch.nn.functional import pixel_unshuffle

from galaxy_diffusion.generators.batches import Batch, to_model_range
from galaxy_diffusion.generators.unet import check_divisible
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from galaxy_diffusion.sampling.vae_pipeline import ClassPrior, ConditionalVAEPipeline
from galaxy_diffusion.shared.noise import noise_like
from galaxy_diffusion.shared.symmetry import turn
from gz2_dataset import UserError
from gz2_dataset.ranges import Checked, at_least, between

ROUNDING = 12**-0.5 / 127.5
"""Standard deviation of the rounding to grey levels, in units of pixels in [-1, 1]."""

OF_ROUNDING = 2**31
"""The bit in which the seed of an image's rounding noise differs from that of its latents."""


@dataclass
class VAEConfig(Checked):
    """Settings of the nets."""

    patch_size: int = field(default=2, metadata=between(1, 64))
    """Side in pixels of the patches that the nets work on; 1 is the pixels themselves."""
    block_out_channels: list[int] = field(default_factory=lambda: [32, 64, 128, 128], metadata=between(1, 8192))
    """Channels of each level of encoder and decoder, from the patches down; each level but the last halves the side.
    The last level has the latents; the smaller its side, the more a draw from the prior looks like one galaxy."""
    layers_per_block: int = field(default=1, metadata=between(1, 64))
    """Residual blocks per level of the encoder; the decoder has one more."""
    latent_channels: int = field(default=16, metadata=between(1, 8192))
    """Channels of the latent grid."""
    class_channels: int = field(default=8, metadata=between(1, 8192))
    """Channels beside the latents that tell the decoder the class."""
    norm_num_groups: int = field(default=8, metadata=at_least(1))
    """Groups of the group normalisation; divides all block_out_channels."""


class ConditionalVAE(torch.nn.Module):
    """Encoder, decoder and the classes' priors.

    Parameters
    ----------
    vae : AutoencoderKL
        Its decoder gives mean and log variance of each pixel, so that it learns how noisy the sky is.
    prior : ClassPrior
    """

    def __init__(self, vae: AutoencoderKL, prior: ClassPrior):
        super().__init__()
        self.vae, self.prior = vae, prior

    def forward(self, patches: torch.Tensor, labels: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The terms of the loss.

        Parameters
        ----------
        patches : Tensor, shape (B, 3 p^2, R / p, R / p)
        labels : Tensor of int64, shape (B,)
        noise : Tensor, shape (B, C, S, S)
            Standard normal, for the latents.

        Returns
        -------
        error, misfit : Tensor, shape (B,)
            See `pixel_losses`, for latents z drawn from q(z | x).
        rate : Tensor, shape (B,)
            KL divergence of q(z | x) from the prior of the class, in nats.
        """
        posterior = self.posterior(patches)
        latents = posterior.mean + posterior.std * noise
        decoded = self.vae.decode(self.prior.beside(latents, labels)).sample
        return *pixel_losses(decoded, patches), posterior.kl(self.prior(labels))

    def posterior(self, patches: torch.Tensor) -> DiagonalGaussianDistribution:
        """q(z | x), for the channels that the prior has."""
        encoded = self.vae.encode(patches).latent_dist
        kept = [values.float()[:, : self.prior.config.latent_channels] for values in (encoded.mean, encoded.logvar)]
        return DiagonalGaussianDistribution(torch.cat(kept, dim=1))


def pixel_losses(decoded: torch.Tensor, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How far a decoder's images are from the real ones, and how badly its variance predicts that.

    If the mean were learned from the likelihood too, it would be learned least where it is worst (Seitzer et al. 2022,
    arXiv:2203.09168): in the galaxies.

    Parameters
    ----------
    decoded : Tensor, shape (B, 2 C, H, W)
        Mean and log variance.
    patches : Tensor, shape (B, C, H, W)

    Returns
    -------
    error : Tensor, shape (B,)
        Mean squared difference from the mean; it trains only the mean.
    misfit : Tensor, shape (B,)
        Negative log likelihood in nats per value; it trains only the variance.
    """
    mean, log_variance = decoded.float().chunk(2, dim=1)
    noise = DiagonalGaussianDistribution(torch.cat([mean.detach(), log_variance], dim=1))
    return (mean - patches).square().mean(dim=(1, 2, 3)), noise.nll(patches) / patches[0].numel()


def make_vae(settings: VAEConfig, resolution: int, num_rows: int) -> ConditionalVAE:
    """The nets of a training.

    Parameters
    ----------
    settings : VAEConfig
    resolution : int
        Side of the images in pixels.
    num_rows : int
        Classes and null class.

    Raises
    ------
    UserError
        If the resolution cannot be halved that often, or channels do not divide into groups.
    """
    channels, latent_size = check_autoencoder(settings, resolution)
    values = 3 * settings.patch_size**2
    vae = AutoencoderKL(
        in_channels=values,
        out_channels=2 * values,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=settings.layers_per_block,
        latent_channels=settings.latent_channels + settings.class_channels,
        norm_num_groups=settings.norm_num_groups,
        mid_block_add_attention=False,
        sample_size=resolution // settings.patch_size,
        scaling_factor=1.0,
    )
    prior = ClassPrior(num_rows, settings.latent_channels, latent_size, settings.class_channels)
    return ConditionalVAE(vae, prior).to(memory_format=torch.channels_last)


def check_autoencoder(settings: Any, resolution: int) -> tuple[tuple[int, ...], int]:
    """Channels of the levels of an autoencoder and the side of its latents; raises `UserError` if they do not fit."""
    channels = tuple(settings.block_out_channels)
    check_divisible(resolution, settings.patch_size, len(channels))
    if any(size % settings.norm_num_groups for size in channels):
        raise UserError(f"norm_num_groups {settings.norm_num_groups} does not divide block_out_channels {[*channels]}")
    return channels, resolution // settings.patch_size // 2 ** (len(channels) - 1)


def standardized_patches(batch: Batch, image_format: ImageFormat, device: torch.device) -> torch.Tensor:
    """Patches of a batch's turned and standardised images, with noise as large as that from rounding to grey levels.

    Without that noise the likelihood of flat images is unbounded (Theis et al. 2016, arXiv:1511.01844).
    """
    images = to_model_range(batch.images, device)
    images = images + ROUNDING * noise_like(images, batch.noise_seeds ^ OF_ROUNDING)
    images = turn(image_format.standardize(images), batch.symmetry.to(device))
    return pixel_unshuffle(images, image_format.patch_size)


def finished_pipeline(
    net: ConditionalVAE, class_names: tuple[str, ...], image_format: ImageFormat
) -> ConditionalVAEPipeline:
    """A pipeline around the nets."""
    names = dict(enumerate(class_names))
    return ConditionalVAEPipeline(net.vae, net.prior, names, **asdict(image_format))
