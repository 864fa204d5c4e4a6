"""Differentiable augmentation (Zhao et al. 2020, arXiv:2006.10738): the discriminator sees nothing unaugmented.

Real and generated images are augmented in the same way, so that the generator learns images as they are, and the
discriminator cannot learn a few galaxies by heart.
"""

from collections.abc import Sequence

import torch

from gz2_dataset import UserError

KINDS = ("colour", "translation", "cutout")
SHIFT = 1 / 8
"""Largest translation, as a share of the side."""


def augment(images: torch.Tensor, kinds: Sequence[str], seeds: torch.Tensor) -> torch.Tensor:
    """Change each image at random, according to its own seed.

    Parameters
    ----------
    images : Tensor, shape (B, 3, H, H), in [-1, 1]
    kinds : sequence of str
        Of `KINDS`: colour changes brightness, saturation and contrast, translation shifts and repeats the edge, cutout
        lays a grey square of half the side over the image.
    seeds : Tensor of int64, shape (B,)

    Returns
    -------
    Tensor, shape (B, 3, H, H)
    """
    if not kinds:
        return images
    numbers = torch.stack([torch.rand(7, generator=torch.Generator().manual_seed(seed)) for seed in seeds.tolist()])
    numbers = numbers.to(images.device)
    if "colour" in kinds:
        images = recolour(images, numbers[:, :3])
    if "translation" in kinds:
        images = shift(images, numbers[:, 3:5])
    return cut_out(images, numbers[:, 5:]) if "cutout" in kinds else images


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise a `UserError` where there is no such augmentation."""
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"diff_augment: no augmentation {kind!r}; choose from {', '.join(KINDS)}")


def recolour(images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Add to the brightness (up to 0.5), scale the distance to grey (0 to 2) and to the mean level (0.5 to 1.5)."""
    brightness, saturation, contrast = numbers[..., None, None, None].unbind(1)
    images = images + (brightness - 0.5)
    images = torch.lerp(images.mean(1, keepdim=True), images, 2 * saturation)
    return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, 0.5 + contrast)


def shift(images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Move each image by whole pixels, up to `SHIFT` of its side; what comes in repeats the edge."""
    side = images.shape[-1]
    most = round(side * SHIFT)
    offsets = (numbers * (2 * most + 1)).long() - most
    positions = (torch.arange(side, device=images.device) + offsets[..., None]).clamp(0, side - 1)
    rows, columns = positions.unbind(1)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cut_out(images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Fill a square of half the side, centred anywhere in the image, with grey (0)."""
    side = images.shape[-1]
    pixels = torch.arange(side, device=images.device)
    inside = (pixels - (numbers * side).long()[..., None]).abs() <= side // 4  # (B, 2, H)
    return images.masked_fill((inside[:, 0, :, None] & inside[:, 1, None, :])[:, None], 0.0)
