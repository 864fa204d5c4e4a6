"""Normal noise for images from their seeds, the same on every device."""

import torch

GOLDEN_GAMMA = 0x9E3779B97F4A7C15 - 2**64
"""The odd integer nearest to 2^64 over the golden ratio, as a signed integer."""


def noise_like(images: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Standard normal noise in float32, from one seed (int64) per image, drawn on the images' device.

    Each value depends only on seed and position: a hash of both (SplitMix64; Steele, Lea & Flood 2014,
    doi:10.1145/2660193.2660195) made normal in pairs (Box & Muller 1958). So a batch takes a few GPU
    calls, where one generator per image would take as many as there are images, and all devices draw the same noise.
    """
    size = images[0].numel()
    place = torch.arange(1, (size + 1) // 2 + 1, device=images.device)
    seed = seeds.to(images.device, non_blocking=True).view(-1, 1)
    bits = seed + place * GOLDEN_GAMMA  # integers of 64 bits wrap around
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        bits = (bits ^ shifted_right(bits, shift)) * factor
    bits = bits ^ shifted_right(bits, 31)
    radius = ((shifted_right(bits, 40) + 1).float() * 2**-24).log_().mul_(-2).sqrt_()
    angle = (shifted_right(bits, 16) & 0xFFFFFF).float() * (2 * torch.pi * 2**-24)
    pairs = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return pairs[:, :size].reshape(images.shape)


def shifted_right(bits: torch.Tensor, shift: int) -> torch.Tensor:
    """A shift that brings in zeros, not the sign."""
    return (bits >> shift) & ((1 << (64 - shift)) - 1)
