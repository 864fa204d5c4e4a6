"""The eight flips and quarter turns of a square image: galaxies have no up."""

import torch


def turn(images: torch.Tensor, symmetry: torch.Tensor) -> torch.Tensor:
    """Flip and turn each image.

    Parameters
    ----------
    images : Tensor, shape (B, C, H, H)
    symmetry : Tensor of int64, shape (B,)
        Bit 0 mirrors left and right, bit 1 up and down, bit 2 transposes: the eight symmetries of the square.
    """
    bit = [((symmetry >> k) & 1).bool().view(-1, 1, 1, 1) for k in range(3)]
    images = torch.where(bit[0], images.flip(3), images)
    images = torch.where(bit[1], images.flip(2), images)
    return torch.where(bit[2], images.transpose(2, 3), images)
