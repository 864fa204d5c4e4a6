"""Which galaxies a training step sees, how they are turned, and their noise: functions of (seed, images seen) alone.

An interrupted run therefore goes on exactly, and any number of processes sees the same global batches.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from gz2_dataset import GalaxyArrays


@dataclass(frozen=True)
class Batch:
    """One process's share of a global batch, on the host.

    Attributes
    ----------
    images : Tensor of uint8, shape (B, H, W, 3)
    labels : Tensor of int64, shape (B,)
        Class, or the null class.
    symmetry : Tensor of int64, shape (B,)
        Which of the eight flips and quarter turns, 0 to 7.
    timesteps : Tensor of int64, shape (B,)
    noise_seeds : list of int
        Seed of each image's noise.
    """

    images: torch.Tensor
    labels: torch.Tensor
    symmetry: torch.Tensor
    timesteps: torch.Tensor
    noise_seeds: list[int]


class Batches:
    """Draws global batches from the labelled and unlabelled galaxies.

    Parameters
    ----------
    labelled, unlabelled : GalaxyArrays
        An unlabelled galaxy trains the null class.
    batch_size : int
        Images a step over all processes.
    seed : int
    num_timesteps : int
        Timesteps are drawn from 0 to num_timesteps - 1.
    null_share : float
        Share of the labelled images whose class is hidden, for guidance.
    unlabelled_share : float
        Expected share of unlabelled images in a batch.
    class_balance : float
        0 draws labelled galaxies as they come, each once an epoch; 1 draws every class equally often; a value between
        draws that share of the images class by class.
    """

    def __init__(
        self,
        labelled: GalaxyArrays,
        unlabelled: GalaxyArrays,
        batch_size: int,
        seed: int,
        num_timesteps: int,
        null_share: float,
        unlabelled_share: float,
        class_balance: float,
    ):
        self.labelled, self.unlabelled = labelled, unlabelled
        self.batch_size, self.seed, self.num_timesteps = batch_size, seed, num_timesteps
        self.null_share, self.class_balance = null_share, class_balance
        self.unlabelled_share = unlabelled_share if len(unlabelled) else 0.0
        self.null_class = len(labelled.class_names)
        self.members = [np.flatnonzero(labelled.labels == label) for label in range(self.null_class)]
        self._permutation = lru_cache(maxsize=2)(self._permutation)

    def at(self, images_seen: int, process_index: int = 0, num_processes: int = 1) -> Batch:
        """The batch after ``images_seen`` images: the rows that fall to one of the processes."""
        rng = np.random.default_rng([self.seed, images_seen])
        size = self.batch_size
        unlabelled = rng.random(size) < self.unlabelled_share
        hidden = rng.random(size) < self.null_share
        balanced = rng.random(size) < self.class_balance
        by_class = rng.integers(self.null_class, size=size)
        position, timesteps = rng.random(size), rng.integers(self.num_timesteps, size=size)
        symmetry, noise_seeds = rng.integers(8, size=size), rng.integers(2**62, size=size)
        index = self._shuffled(images_seen + np.arange(size))
        for i in np.flatnonzero(balanced):
            members = self.members[by_class[i]]
            index[i] = members[int(position[i] * len(members))]
        index[unlabelled] = (position[unlabelled] * len(self.unlabelled)).astype(int)
        mine = np.arange(process_index, size, num_processes)
        images = np.stack([(self.unlabelled if unlabelled[i] else self.labelled).images[index[i]] for i in mine])
        is_null = unlabelled | hidden
        labels = np.where(is_null, self.null_class, self.labelled.labels[np.where(is_null, 0, index)])
        return Batch(
            torch.from_numpy(images),
            torch.from_numpy(labels[mine]),
            torch.from_numpy(symmetry[mine]),
            torch.from_numpy(timesteps[mine]),
            noise_seeds[mine].tolist(),
        )

    def _shuffled(self, positions: np.ndarray) -> np.ndarray:
        epochs, within = np.divmod(positions, len(self.labelled))
        return np.array(
            [self._permutation(epoch)[i] for epoch, i in zip(epochs.tolist(), within.tolist(), strict=True)]
        )

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch, 1]).permutation(len(self.labelled))


def turn(images: torch.Tensor, symmetry: torch.Tensor) -> torch.Tensor:
    """Flip and turn each image: galaxies have no up.

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


def noise_like(images: torch.Tensor, seeds: list[int]) -> torch.Tensor:
    """Standard normal noise in float32, each image's from its own seed, drawn on the images' device."""
    noise = torch.empty_like(images, dtype=torch.float32, memory_format=torch.contiguous_format)
    generator = torch.Generator(images.device)
    for row, seed in zip(noise, seeds, strict=True):
        row.normal_(generator=generator.manual_seed(seed))
    return noise


def to_model_range(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 images (B, H, W, 3) as float32 (B, 3, H, W) in [-1, 1] on ``device``."""
    return images.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 127.5 - 1
