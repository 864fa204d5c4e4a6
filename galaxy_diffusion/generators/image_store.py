"""The training images: on the device if they fit, else in their memory-mapped files."""

import numpy as np
import torch

from galaxy_diffusion.shared.machine import free_memory

SHARE = 0.25
"""Share of the free memory that images may take; the rest is for the net."""


class ImageStore:
    """Images of several splits, one after another.

    Parameters
    ----------
    splits : list of ndarray of uint8, shape (N, H, W, 3)
    device : torch.device
    free_bytes : int, optional
        Free memory of the device; by default what it reports.

    Attributes
    ----------
    resident : Tensor of uint8, shape (sum of N, H, W, 3), or None
        The images on the device; None where they take more than `SHARE` of its free memory.
    """

    def __init__(self, splits: list[np.ndarray], device: torch.device, free_bytes: int | None = None):
        self.splits = splits
        self.starts = np.cumsum([0, *map(len, splits)])
        free = free_memory(device) if free_bytes is None else free_bytes
        fits = sum(split.nbytes for split in splits) <= SHARE * free
        self.resident = torch.from_numpy(np.concatenate(splits)).to(device) if fits else None

    def take(self, index: np.ndarray) -> torch.Tensor:
        """The images of these indices, shape (B, H, W, 3), on the device if they are kept there, else on the host."""
        if self.resident is not None:
            return self.resident[torch.from_numpy(index).to(self.resident.device)]
        split = np.searchsorted(self.starts, index, side="right") - 1
        rows = [self.splits[s][i] for s, i in zip(split, index - self.starts[split], strict=True)]
        return torch.from_numpy(np.stack(rows))
