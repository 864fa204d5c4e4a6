"""SAGAN's two nets in training: the discriminator, spectral normalisation, and the generator prepared for sampling."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn.functional import avg_pool2d, relu
from torch.nn.utils.parametrizations import spectral_norm

from galaxy_diffusion.generators.unet import check_divisible
from galaxy_diffusion.sampling.sagan_pipeline import ConditionalSAGANPipeline, SAGANGenerator, SelfAttention
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.ranges import Checked, above, at_least, between

RAW = "parametrizations.weight.original"
"""Torch's name for a weight before its normalisation, in place of ``weight``."""

MEASURED_IMAGES = 512
"""The brightness and contrast of the galaxies are measured on at most this many images."""

STANDING_IMAGES, STANDING_BATCH = 1024, 64
"""The statistics of a finished generator are measured on this many images."""


@dataclass
class SAGANConfig(Checked):
    """Settings of the two nets."""

    latent_dim: int = field(default=128, metadata=between(1, 8192))
    """Length of the noise vector that the generator starts from."""
    block_out_channels: list[int] = field(default_factory=lambda: [32, 64, 128, 128], metadata=between(1, 8192))
    """Channels of each level of both nets, from the full resolution down; each level but the last halves the image, so
    that six levels start 224 pixels from 7 x 7."""
    attention_levels: list[int] = field(default_factory=lambda: [1], metadata=at_least(0))
    """Levels with self-attention, 0 being the full resolution, which has none."""
    discriminator_gain: float = field(default=1.0, metadata=above(0))
    """Contrast of what the discriminator sees, in units of the galaxies' own. Spectral normalisation bounds how steep
    it can be; if its loss rises towards 2 while the images are poor, a higher gain lets it tell them apart."""


class DownBlock(nn.Module):
    """A residual block that halves the side; the first block of a net takes pixels, which no rectifier may cut off."""

    def __init__(self, channels_in: int, channels_out: int, takes_pixels: bool, halves: bool = True):
        super().__init__()
        self.takes_pixels, self.halves = takes_pixels, halves
        self.first = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features of shape (B, C, H, W) to (B, C', H / 2, W / 2)."""
        residual = self.second(relu(self.first(features if self.takes_pixels else relu(features))))
        if not self.halves:
            return residual + self.shortcut(features)
        return avg_pool2d(residual, 2) + self.shortcut(avg_pool2d(features, 2))


class SAGANDiscriminator(ModelMixin, ConfigMixin):
    """Scores images given their classes; above 0 is real (projection, Miyato & Koyama 2018, arXiv:1802.05637).

    Parameters
    ----------
    sample_size : int
        Side of the images in pixels.
    num_classes : int
    block_out_channels : tuple of int
        Channels of each level, from the full resolution down, as the generator's.
    attention_levels : tuple of int
        Levels with self-attention, 0 being the full resolution.
    pixel_mean, pixel_scale : float
        What is subtracted from the images, and what they are then divided by. Normalised weights bound how steep the
        scores can be: on images of low contrast they could not reach the hinge's margin.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        num_classes: int = 5,
        block_out_channels: tuple[int, ...] = (32, 64, 128, 128),
        attention_levels: tuple[int, ...] = (1,),
        pixel_mean: float = 0.0,
        pixel_scale: float = 1.0,
    ):
        super().__init__()
        channels = block_out_channels
        pairs = zip((3, *channels[:-1]), channels, strict=True)
        self.blocks = nn.ModuleList(DownBlock(*pair, i == 0, i < len(channels) - 1) for i, pair in enumerate(pairs))
        self.attention = nn.ModuleDict({str(i): SelfAttention(channels[max(0, i - 1)]) for i in attention_levels})
        self.score = nn.Linear(channels[-1], 1)
        self.class_embedding = nn.Embedding(num_classes, channels[-1])

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scores of shape (B,) of images (B, 3, H, W) in [-1, 1] and labels (B,)."""
        features = (images - self.config.pixel_mean) / self.config.pixel_scale
        for level, block in enumerate(self.blocks):
            if level and str(level) in self.attention:
                features = self.attention[str(level)](features)
            features = block(features)
        features = relu(features).sum(dim=(2, 3))
        return self.score(features)[:, 0] + (self.class_embedding(labels) * features).sum(dim=1)


def make_nets(settings: SAGANConfig, galaxies: GalaxyArrays) -> tuple[SAGANGenerator, SAGANDiscriminator]:
    """Generator and discriminator, mirrored, all weights spectrally normalised.

    Parameters
    ----------
    settings : SAGANConfig
    galaxies : GalaxyArrays
        The galaxies to learn from. The discriminator sees images in units of the standard deviation of their pixels.

    Raises
    ------
    UserError
        If the resolution cannot be halved that often, or attention is wanted on a level that does not exist.
    """
    levels, resolution = len(settings.block_out_channels), galaxies.images.shape[1]
    check_divisible(resolution, 1, levels)
    if wrong := [level for level in settings.attention_levels if not 0 < level < levels]:
        raise UserError(
            f"attention_levels: {wrong[0]} is not between 1 and {levels - 1}, the last of block_out_channels"
        )
    common: dict[str, Any] = {
        "sample_size": resolution,
        "num_classes": len(galaxies.class_names),
        "block_out_channels": tuple(settings.block_out_channels),
        "attention_levels": tuple(settings.attention_levels),
    }
    some = galaxies.images[:: -(-len(galaxies) // MEASURED_IMAGES)]
    contrast = float(some.std()) / 127.5 or 1.0
    mean, scale = float(some.mean()) / 127.5 - 1, contrast / settings.discriminator_gain
    nets = (
        SAGANGenerator(latent_dim=settings.latent_dim, **common),
        SAGANDiscriminator(**common, pixel_mean=mean, pixel_scale=scale),
    )
    for net in nets:
        normalise_spectrally(net)
    return nets


def normalise_spectrally(net: nn.Module) -> None:
    """Divide every weight by its largest singular value (Miyato et al. 2018, arXiv:1802.05957).

    The class tables of the batch normalisations are left alone: they are gains.
    """
    table = getattr(net, "class_embedding", None)
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear) or module is table:
            nn.init.orthogonal_(module.get_parameter("weight"))
            spectral_norm(module)


@torch.no_grad()
def plain_generator(generator: SAGANGenerator) -> SAGANGenerator:
    """A copy of the generator whose weights are divided by their exact largest singular value.

    For an average of weights there is no running estimate of that value that fits.
    """
    weights = {}
    for name, value in generator.state_dict().items():
        if name.endswith(RAW):
            weights[name.removesuffix(RAW) + "weight"] = value / torch.linalg.matrix_norm(value.flatten(1), 2)
        elif "parametrizations" not in name:
            weights[name] = value
    plain = SAGANGenerator.from_config(generator.config)
    plain.load_state_dict(weights)
    return plain.to(generator.device, memory_format=torch.channels_last)


@torch.no_grad()
def standing_statistics(generator: SAGANGenerator, latents: torch.Tensor, labels: torch.Tensor) -> None:
    """Measure the means and variances of the batch normalisations anew.

    Averaged weights do not fit the statistics that the weights of single steps have left behind (Brock et al. 2019,
    arXiv:1809.11096, who gave the procedure its name).

    Parameters
    ----------
    generator : SAGANGenerator
        Afterwards in evaluation mode.
    latents : Tensor, shape (N, latent_dim)
    labels : Tensor of int64, shape (N,)
        Mixed as in training, because all classes share the statistics.
    """
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    generator.train()
    for part in zip(latents.split(STANDING_BATCH), labels.split(STANDING_BATCH), strict=True):
        generator(*part)
    generator.eval()


def finished_pipeline(
    generator: SAGANGenerator, galaxies: GalaxyArrays, class_balance: float
) -> ConditionalSAGANPipeline:
    """A pipeline of a generator in training; the same for the same weights.

    Parameters
    ----------
    generator : SAGANGenerator
        With averaged weights.
    galaxies : GalaxyArrays
    class_balance : float
        Share of the images that the training drew class by class.
    """
    rng, num_classes = np.random.default_rng(0), len(galaxies.class_names)
    as_they_come = galaxies.labels[rng.integers(len(galaxies), size=STANDING_IMAGES)]
    by_class = rng.integers(num_classes, size=STANDING_IMAGES)
    labels = torch.from_numpy(np.where(rng.random(STANDING_IMAGES) < class_balance, by_class, as_they_come))
    latents = torch.randn(STANDING_IMAGES, generator.config.latent_dim, generator=torch.Generator().manual_seed(0))
    generator = plain_generator(generator)
    standing_statistics(generator, latents.to(generator.device), labels.to(generator.device))
    return ConditionalSAGANPipeline(generator, dict(enumerate(galaxies.class_names)))
