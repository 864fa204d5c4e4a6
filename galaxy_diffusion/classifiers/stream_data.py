"""A classifier's training batches from a stream instead of arrays."""

from collections.abc import Sequence
from concurrent.futures import Future
from fractions import Fraction

import numpy as np
import torch

from galaxy_diffusion.classifiers.data import TrainingBatches
from galaxy_diffusion.shared.read_ahead import IMAGES_AHEAD, ReadAhead, interleaved
from galaxy_diffusion.shared.symmetry import turn
from gz2_dataset import GalaxyArrays
from gz2_dataset.galaxy_stream import Galaxy, GalaxyStream


class StreamedTrainingBatches(TrainingBatches):
    """`TrainingBatches` of galaxies that are read while the training runs.

    The positions of a process's batch follow each other, but its images are spread over the global batch, so that each
    process reads its own part of the stream. The generated images are local, and `interleaved` in short runs.

    Parameters
    ----------
    parts : sequence of GalaxyStream and GalaxyArrays
        The stream and, if there are any, the generated images.
    mean, std, images_to_see, seed
        As for `TrainingBatches`.
    num_processes : int
        Number of processes of the training.
    augmentations
        As for `TrainingBatches`.
    """

    def __init__(
        self,
        parts: Sequence[GalaxyStream | GalaxyArrays],
        mean: Sequence[float],
        std: Sequence[float],
        images_to_see: int,
        seed: int,
        num_processes: int,
        augmentations: Sequence[str] = (),
    ):
        super().__init__(parts, mean, std, images_to_see, seed, augmentations=augmentations)  # pyright: ignore[reportArgumentType]
        self.num_processes = num_processes
        self.share = Fraction(len(self.labels) - len(parts[0]), len(self.labels))
        self.ahead = ReadAhead(self._submit)

    def __getitems__(self, positions: Sequence[int]) -> dict[str, torch.Tensor]:
        size, start = len(positions), positions[0]
        step = size * self.num_processes
        ahead = range(start, min(start + step + IMAGES_AHEAD * self.num_processes, len(self)), step)
        galaxies = self.ahead.take([(first, size) for first in ahead])
        images = torch.from_numpy(np.stack([galaxy.image for galaxy in galaxies])).permute(0, 3, 1, 2)
        places = self._spread(start, size)
        _, symmetry = self.drawn(places)
        images = self.augment(turn(images, torch.from_numpy(symmetry)), places)
        return self.normalised(images, np.array([galaxy.label for galaxy in galaxies]))

    def _spread(self, start: int, size: int) -> np.ndarray:
        step, process = divmod(start // size, self.num_processes)
        return (step * size + np.arange(size)) * self.num_processes + process

    def _submit(self, key: tuple[int, int]) -> list[Future[Galaxy]]:
        futures = []
        for position in self._spread(*key).tolist():
            is_generated, place = interleaved(position, self.share)
            futures.append(self._generated(place) if is_generated else self.parts[0].submit(place, self.seed))  # pyright: ignore[reportAttributeAccessIssue]
        return futures

    def _generated(self, place: int) -> Future[Galaxy]:
        part, future = self.parts[1], Future()
        epoch, within = divmod(place, len(part))
        index = np.random.default_rng([self.seed, epoch, 1]).permutation(len(part))[within]
        future.set_result(
            Galaxy(part.images[index], int(part.labels[index]), part.image_ids[index], part.digests[index])
        )
        return future
