"""Augmentations of whole batches in which each image has its own random draws.

Torchvision's transforms draw once per batch, and applied image by image they cost more than a small network. Here the
draws of an image depend only on (seed, position in the training), and a few tensor operations change a whole batch.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tv

from galaxy_diffusion.shared.noise import noise_like

BLOCK = 4096
"""Positions whose draws are made together."""
DRAWS = 8
"""Draws per image for each purpose."""
STREAMS = {"geometric": 2, "photometric": 3, "random_erasing": 4, "mixing": 5}
"""Purposes; 0 and 1 are the orders of the galaxies."""


def uniform_draws(seed: int, purpose: str, positions: np.ndarray) -> torch.Tensor:
    """Random numbers in [0, 1) of the images at some positions of a training, float64, shape (B, `DRAWS`)."""
    blocks, within = np.divmod(positions, BLOCK)
    draws = np.empty((len(positions), DRAWS))
    for block in np.unique(blocks).tolist():
        draws[blocks == block] = _block(seed, purpose, block)[within[blocks == block]]
    return torch.from_numpy(draws)


@lru_cache(maxsize=8)
def _block(seed: int, purpose: str, block: int) -> np.ndarray:
    return np.random.default_rng([seed, block, STREAMS[purpose]]).random((BLOCK, DRAWS))


def geometric(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Turn by up to 45 degrees, zoom by 0.8 to 1.25, shear by up to 10 degrees, shift by up to a tenth of the side.

    With the eight flips and quarter turns this covers every angle, and with zoom and shift it is a random crop. Beyond
    its edges the image is continued by its mirror image.

    Parameters
    ----------
    images : Tensor of float32, shape (B, C, H, W)
    draws : Tensor of float64 in [0, 1), shape (B, 5) or more
        An image whose draws are all 0.5 stays as it is.
    """
    centred = 2 * draws.float() - 1
    angle, shear = centred[:, 0] * math.pi / 4, torch.tan(centred[:, 1] * math.radians(10))
    zoom = 1.25 ** centred[:, 2]
    cos, sin, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    turned = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    sheared = torch.stack([one, shear, zero, one], dim=1).view(-1, 2, 2)
    # A sampling grid says where each output pixel comes from: the inverse map. Its coordinates run from -1 to 1.
    linear = torch.linalg.inv(zoom.view(-1, 1, 1) * turned @ sheared)
    shift = 0.2 * centred[:, 3:5, None]
    grid = F.affine_grid(torch.cat([linear, -linear @ shift], dim=2), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def photometric(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Change brightness, contrast and saturation by up to 20 %, sharpness by up to 100 %, and add noise.

    The noise is normal, with a standard deviation of up to 10 of 255. The factors of the other four
    mean the same as in torchvision.

    Parameters
    ----------
    images : Tensor of float32, shape (B, 3, H, W)
        Values from 0 to 255.
    draws : Tensor of float64 in [0, 1), shape (B, 6) or more
    """
    factors = (1 + torch.tensor([0.2, 0.2, 0.2, 1.0]) * (2 * draws[:, :4].float() - 1)).T.reshape(4, -1, 1, 1, 1)
    images = (images * factors[0]).clamp(0, 255)
    mean = tv.rgb_to_grayscale(images).mean(dim=(1, 2, 3), keepdim=True)
    images = mean.lerp(images, factors[1]).clamp(0, 255)
    images = tv.rgb_to_grayscale(images, num_output_channels=3).lerp(images, factors[2]).clamp(0, 255)
    blurred = tv.adjust_sharpness(images / 255, 0.0) * 255
    images = blurred.lerp(images, factors[3])
    noise = noise_like(images, (draws[:, 5] * 2**53).long())
    return (images + 10 * draws[:, 4].float().view(-1, 1, 1, 1) * noise).clamp(0, 255)


def random_erasing(images: torch.Tensor, draws: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
    """Cover a rectangle of each image with probability one half [1]_.

    As in torchvision it has 2 to 33 % of the area and sides in a ratio of 0.3 to 3.3; it is cut where the image ends.

    Parameters
    ----------
    images : Tensor of float32, shape (B, C, H, W)
    draws : Tensor of float64 in [0, 1), shape (B, 5) or more
    fill : Tensor of float32, shape (C, 1, 1)

    References
    ----------
    .. [1] Zhong, Z. et al. 2020, AAAI, 34, 13001
    """
    area = torch.where(draws[:, 0] < 0.5, 0.02 + 0.31 * draws[:, 1], 0.0)
    ratio = torch.exp(math.log(1 / 0.3) * (2 * draws[:, 2] - 1))
    sides = torch.stack([area * ratio, area / ratio], dim=1).sqrt().clamp(max=1)
    return torch.where(boxes(draws[:, 3:5] * (1 - sides), sides, images.shape[-1]), fill, images)


def boxes(corner: torch.Tensor, sides: torch.Tensor, size: int) -> torch.Tensor:
    """Which pixels have their centre in a rectangle, bool, shape (B, 1, size, size).

    Parameters
    ----------
    corner, sides : Tensor, shape (B, 2)
        Of each rectangle, along y and x, in units of the image's side.
    size : int
        The image's side in pixels.
    """
    centres = (torch.arange(size) + 0.5) / size
    offset = centres - corner[..., None]
    inside = (offset >= 0) & (offset < sides[..., None])
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]
