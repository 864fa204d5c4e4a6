"""Batches for training from a stream: read and prepared ahead, as functions of (seed, images seen)."""

from concurrent.futures import Future

import numpy as np
import torch

from galaxy_diffusion.generators.batches import Batch, refuse_empty_classes
from galaxy_diffusion.generators.conditioning import Conditioning
from galaxy_diffusion.shared.read_ahead import IMAGES_AHEAD, ReadAhead, interleaved
from gz2_dataset import UserError
from gz2_dataset.galaxy_stream import Galaxy, GalaxyStream


class StreamedBatches:
    """Draws global batches from streams of labelled and unlabelled galaxies; takes the place of `batches.Batches`.

    Labelled and unlabelled galaxies are `interleaved`; each stream is read from end to end, every galaxy once an epoch.
    The batches do not depend on the number of processes. With 2, 4 or 8 processes, each
    reads only its own part of the data, otherwise all of it.

    Parameters
    ----------
    labelled, unlabelled : GalaxyStream
    batch_size, seed, num_timesteps, null_share, unlabelled_share
        As for `Batches`.
    class_balance : float
        Must be 0: a stream gives the galaxies as they come.
    conditioning : Conditioning
        What the labels of a batch are.
    device : torch.device
        Where a batch's images are put.

    Raises
    ------
    UserError
        If the galaxies are to be drawn class by class, or votes are to be learned but the data has none.
    """

    def __init__(
        self,
        labelled: GalaxyStream,
        unlabelled: GalaxyStream,
        batch_size: int,
        seed: int,
        num_timesteps: int,
        null_share: float,
        unlabelled_share: float,
        class_balance: float,
        conditioning: Conditioning,
        device: torch.device | str = "cpu",
    ):
        if class_balance:
            raise UserError("a stream cannot be drawn class by class; give --class_balance 0 or --streaming false")
        conditioning.check(labelled.has_votes)
        refuse_empty_classes(labelled)
        self.labelled, self.unlabelled = labelled, unlabelled
        self.batch_size, self.seed, self.num_timesteps = batch_size, seed, num_timesteps
        self.null_share, self.conditioning, self.device = null_share, conditioning, device
        self.unlabelled_share = unlabelled_share if len(unlabelled) else 0.0
        self.device, self.ahead = torch.device(device), ReadAhead(self._submit)

    def at(self, images_seen: int, process_index: int = 0, num_processes: int = 1) -> Batch:
        """The batch after ``images_seen`` images: one process's share of its rows."""
        rng = np.random.default_rng([self.seed, images_seen])
        size = self.batch_size
        hidden, timesteps = rng.random(size) < self.null_share, rng.integers(self.num_timesteps, size=size)
        symmetry, noise_seeds = rng.integers(8, size=size), rng.integers(2**62, size=size)
        mine = np.arange(process_index, size, num_processes)
        ahead = range(images_seen, images_seen + size + IMAGES_AHEAD, size)
        galaxies = self.ahead.take([(start, process_index, num_processes) for start in ahead])
        known = [galaxy.votes for galaxy in galaxies if galaxy.votes is not None]
        votes = np.stack(known) if known else None
        labels = self.conditioning.labels(np.array([galaxy.label for galaxy in galaxies]), votes)
        labels[hidden[mine]] = self.conditioning.null
        return Batch(
            torch.from_numpy(np.stack([galaxy.image for galaxy in galaxies])).to(self.device),
            torch.from_numpy(labels),
            torch.from_numpy(symmetry[mine]),
            torch.from_numpy(timesteps[mine]),
            torch.from_numpy(noise_seeds[mine]),
        )

    def _submit(self, key: tuple[int, int, int]) -> list[Future[Galaxy]]:
        images_seen, process_index, num_processes = key
        futures = []
        for position in range(images_seen + process_index, images_seen + self.batch_size, num_processes):
            is_unlabelled, place = interleaved(position, self.unlabelled_share)
            futures.append((self.unlabelled if is_unlabelled else self.labelled).submit(place, self.seed))
        return futures
