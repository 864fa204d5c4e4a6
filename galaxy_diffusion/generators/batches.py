"""Which galaxies a training step sees, how they are turned, and their noise: functions of (seed, images seen) alone.

An interrupted run therefore continues exactly, and any number of processes sees the same global batches.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch

from galaxy_diffusion.generators.conditioning import Conditioning
from galaxy_diffusion.generators.image_store import ImageStore
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.arrays import GalaxyList


@dataclass(frozen=True)
class Batch:
    """One process's share of a global batch.

    Attributes
    ----------
    images : Tensor of uint8, shape (B, H, W, 3)
    labels : Tensor of int64, shape (B,), or of float32, shape (B, 38)
        Class, or the null class; or the 37 vote fractions and the weight of the null class.
    symmetry : Tensor of int64, shape (B,)
        Which of the eight flips and quarter turns, 0 to 7.
    timesteps : Tensor of int64, shape (B,)
    noise_seeds : Tensor of int64, shape (B,)
        Seed of each image's noise.
    """

    images: torch.Tensor
    labels: torch.Tensor
    symmetry: torch.Tensor
    timesteps: torch.Tensor
    noise_seeds: torch.Tensor

    def parts(self, size: int) -> list["Batch"]:
        """The batch in pieces of at most ``size`` images."""
        rows = [slice(start, start + size) for start in range(0, len(self.images), size)]
        columns = (self.images, self.labels, self.symmetry, self.timesteps, self.noise_seeds)
        return [Batch(*(column[piece] for column in columns)) for piece in rows]


class BatchSource(Protocol):
    """Where batches come from: drawn from arrays, or read from a stream."""

    batch_size: int

    def at(self, images_seen: int, process_index: int = 0, num_processes: int = 1) -> Batch:
        """The batch after ``images_seen`` images: one process's share of its rows."""
        ...


class Batches:
    """Draws global batches from the labelled and unlabelled galaxies.

    Parameters
    ----------
    labelled : GalaxyArrays
    unlabelled : GalaxyArrays or None
        They train the null class; where votes are learned, those that have votes train these.
    batch_size : int
        Images per step, over all processes.
    seed : int
    num_timesteps : int
        Timesteps are drawn from 0 to num_timesteps - 1.
    null_share : float
        Share of the labelled images whose class or votes are hidden, for guidance.
    unlabelled_share : float
        Expected share of unlabelled images in a batch.
    class_balance : float
        0 draws labelled galaxies as they come, each once per epoch; 1 draws every class equally often; a value between
        draws that share of the images class by class.
    conditioning : Conditioning
        What the labels of a batch are.
    device : torch.device
        Where the images are kept if they fit; see `ImageStore`.

    Raises
    ------
    UserError
        If votes are to be learned and the data has none, or a class has no galaxy.
    """

    def __init__(
        self,
        labelled: GalaxyArrays,
        unlabelled: GalaxyArrays | None,
        batch_size: int,
        seed: int,
        num_timesteps: int,
        null_share: float,
        unlabelled_share: float,
        class_balance: float,
        conditioning: Conditioning,
        device: torch.device | str = "cpu",
    ):
        refuse_empty_classes(labelled)
        self.batch_size, self.seed, self.num_timesteps = batch_size, seed, num_timesteps
        self.null_share, self.class_balance = null_share, class_balance
        splits = [labelled, unlabelled] if unlabelled else [labelled]
        self.num_labelled, self.num_unlabelled = len(labelled), sum(map(len, splits[1:]))
        self.unlabelled_share = unlabelled_share if self.num_unlabelled else 0.0
        self.num_classes = len(labelled.class_names)
        self.members = [labelled.of_class(name) for name in labelled.class_names]
        self.images = ImageStore([split.images for split in splits], torch.device(device))
        known = [split.votes for split in splits if split.votes is not None]
        votes = np.concatenate(known) if len(known) == len(splits) else None
        self.labels = conditioning.labels(np.concatenate([split.labels for split in splits]), votes)
        self.null_label = conditioning.null

    def at(self, images_seen: int, process_index: int = 0, num_processes: int = 1) -> Batch:
        """The batch after ``images_seen`` images: one process's share of its rows."""
        rng = np.random.default_rng([self.seed, images_seen])
        size = self.batch_size
        unlabelled = rng.random(size) < self.unlabelled_share
        hidden = rng.random(size) < self.null_share
        balanced = rng.random(size) < self.class_balance
        by_class = rng.integers(self.num_classes, size=size)
        position, timesteps = rng.random(size), rng.integers(self.num_timesteps, size=size)
        symmetry, noise_seeds = rng.integers(8, size=size), rng.integers(2**62, size=size)
        index = self._shuffled(images_seen + np.arange(size))
        for i in np.flatnonzero(balanced):
            members = self.members[by_class[i]]
            index[i] = members[int(position[i] * len(members))]
        index[unlabelled] = self.num_labelled + (position[unlabelled] * self.num_unlabelled).astype(int)
        mine = np.arange(process_index, size, num_processes)
        labels = self.labels[index[mine]]
        labels[hidden[mine]] = self.null_label
        return Batch(
            self.images.take(index[mine]),
            torch.from_numpy(labels),
            torch.from_numpy(symmetry[mine]),
            torch.from_numpy(timesteps[mine]),
            torch.from_numpy(noise_seeds[mine]),
        )

    def _shuffled(self, positions: np.ndarray) -> np.ndarray:
        epochs, within = np.divmod(positions, self.num_labelled)
        orders = {epoch: epoch_of(self.num_labelled, self.seed, epoch) for epoch in set(epochs.tolist())}
        return np.array([orders[epoch][i] for epoch, i in zip(epochs.tolist(), within.tolist(), strict=True)])


def refuse_empty_classes(galaxies: GalaxyList) -> None:
    """Refuse data with a class of which there is nothing to learn: a net would draw it all the same."""
    if empty := [name for name, count in zip(galaxies.class_names, galaxies.counts, strict=True) if not count]:
        raise UserError(
            f"no galaxy of class {', '.join(empty)} to train on; build with more of them or without the class"
        )


@lru_cache(maxsize=2)
def epoch_of(size: int, seed: int, number: int) -> np.ndarray:
    """The rows of ``size`` galaxies, each once, shuffled."""
    return np.random.default_rng([seed, number, 1]).permutation(size)


def ahead(source: BatchSource, images_seen: int, end: int, process_index: int, num_processes: int) -> Iterator[Batch]:
    """The batches from ``images_seen`` to ``end``, each made while the net works on the one before."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(source.at, images_seen, process_index, num_processes)
        while images_seen < end:
            batch, images_seen = coming.result(), images_seen + source.batch_size
            if images_seen < end:
                coming = pool.submit(source.at, images_seen, process_index, num_processes)
            yield batch


def to_model_range(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 images (B, H, W, 3) as float32 (B, 3, H, W) in [-1, 1] on ``device``."""
    return images.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 127.5 - 1
