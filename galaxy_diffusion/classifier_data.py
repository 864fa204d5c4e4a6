"""Labelled galaxies as whole normalised batches, and the proof that the test galaxies are new to everybody."""

from collections.abc import Sequence
from concurrent.futures import Future
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.galaxy_stream import Galaxy, GalaxyStream

from .batches import turn
from .streaming import IMAGES_AHEAD, ReadAhead, interleaved


class GalaxyBatches(Dataset):
    """Galaxies of one or more arrays; a `DataLoader` gets a batch at a time, not an image at a time.

    Parameters
    ----------
    parts : sequence of GalaxyArrays
        Images of the same size, indexed one part after the other; they may be memory-mapped.
    mean, std : sequence of float
        Of each channel, in [0, 1], as the backbone wants its input normalised.

    Examples
    --------
    >>> loader = DataLoader(GalaxyBatches([galaxies], mean, std), batch_size=64, collate_fn=collate)  # doctest: +SKIP
    """

    def __init__(self, parts: Sequence[GalaxyArrays], mean: Sequence[float], std: Sequence[float]):
        self.parts = parts
        self.labels = np.concatenate([part.labels for part in parts])
        self.starts = np.cumsum([0, *map(len, parts)])
        self.mean, self.std = (255 * torch.tensor(value).view(3, 1, 1) for value in (mean, std))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        indices = np.asarray(indices)
        return self.normalised(self.images(indices), self.labels[indices])

    def images(self, indices: np.ndarray) -> torch.Tensor:
        """uint8 images, shape (B, 3, H, W), channels last in memory."""
        images = np.empty((len(indices), *self.parts[0].images.shape[1:]), np.uint8)
        for part, start in zip(self.parts, self.starts, strict=False):
            here = (start <= indices) & (indices < start + len(part))
            images[here] = part.images[indices[here] - start]
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def normalised(self, images: torch.Tensor, labels: np.ndarray) -> dict[str, torch.Tensor]:
        """What the model takes: float32 ``pixel_values`` of shape (B, 3, H, W) and int64 ``labels`` of shape (B,)."""
        pixel_values = images.float().sub_(self.mean).div_(self.std)
        return {"pixel_values": pixel_values, "labels": torch.from_numpy(labels)}


class TrainingBatches(GalaxyBatches):
    """A whole training in the order in which it sees the galaxies: item i is the i-th image seen.

    Every epoch visits each galaxy once, in an order and under one of the eight flips and quarter turns that follow from
    the seed and the epoch alone. So an interrupted training goes on exactly, and neither workers nor processes matter.

    Parameters
    ----------
    parts, mean, std
        As for `GalaxyBatches`.
    images_to_see : int
        Length of the training.
    seed : int
    """

    def __init__(
        self, parts: Sequence[GalaxyArrays], mean: Sequence[float], std: Sequence[float], images_to_see: int, seed: int
    ):
        super().__init__(parts, mean, std)
        self.images_to_see, self.seed = images_to_see, seed
        self.epoch = lru_cache(maxsize=2)(self.epoch)

    def __len__(self) -> int:
        return self.images_to_see

    def __getitems__(self, positions: Sequence[int]) -> dict[str, torch.Tensor]:
        indices, symmetry = self.drawn(np.asarray(positions))
        return self.normalised(turn(self.images(indices), torch.from_numpy(symmetry)), self.labels[indices])

    def drawn(self, positions: np.ndarray) -> np.ndarray:
        """Index and symmetry of the image at each position, shape (2, B)."""
        epochs, within = np.divmod(positions, len(self.labels))
        drawn = np.empty((2, len(within)), np.int64)
        for epoch in np.unique(epochs):
            drawn[:, epochs == epoch] = self.epoch(int(epoch))[within[epochs == epoch]].T
        return drawn

    def epoch(self, number: int) -> np.ndarray:
        """Index and symmetry (0 to 7) of each image of an epoch, shape (N, 2)."""
        rng = np.random.default_rng([self.seed, number])
        return np.stack([rng.permutation(len(self.labels)), rng.integers(8, size=len(self.labels))], axis=1)


class StreamedTrainingBatches(TrainingBatches):
    """`TrainingBatches` of galaxies that are read while the training runs.

    A process's batch is a run of positions; its images are spread over the global batch, so that each process reads its
    own part of the stream. The generated images are local, and `interleaved` in short runs.

    Parameters
    ----------
    parts : sequence of GalaxyStream and GalaxyArrays
        The stream and, if there are any, the generated images.
    mean, std, images_to_see, seed
        As for `TrainingBatches`.
    num_processes : int
        Of the training.
    """

    def __init__(
        self,
        parts: Sequence[GalaxyStream | GalaxyArrays],
        mean: Sequence[float],
        std: Sequence[float],
        images_to_see: int,
        seed: int,
        num_processes: int,
    ):
        super().__init__(parts, mean, std, images_to_see, seed)
        self.num_processes = num_processes
        self.share = Fraction(len(self.labels) - len(parts[0]), len(self.labels))
        self.ahead = ReadAhead(self._submit)

    def __getitems__(self, positions: Sequence[int]) -> dict[str, torch.Tensor]:
        size, start = len(positions), positions[0]
        step = size * self.num_processes
        ahead = range(start, min(start + step + IMAGES_AHEAD * self.num_processes, len(self)), step)
        galaxies = self.ahead.take([(first, size) for first in ahead])
        images = torch.from_numpy(np.stack([galaxy.image for galaxy in galaxies])).permute(0, 3, 1, 2)
        _, symmetry = self.drawn(self._spread(start, size))
        return self.normalised(
            turn(images, torch.from_numpy(symmetry)), np.array([galaxy.label for galaxy in galaxies])
        )

    def _spread(self, start: int, size: int) -> np.ndarray:
        step, process = divmod(start // size, self.num_processes)
        return (step * size + np.arange(size)) * self.num_processes + process

    def _submit(self, key: tuple[int, int]) -> list[Future[Galaxy]]:
        futures = []
        for position in self._spread(*key).tolist():
            is_generated, place = interleaved(position, self.share)
            futures.append(self._generated(place) if is_generated else self.parts[0].submit(place, self.seed))
        return futures

    def _generated(self, place: int) -> Future[Galaxy]:
        part, future = self.parts[1], Future()
        epoch, within = divmod(place, len(part))
        index = np.random.default_rng([self.seed, epoch, 1]).permutation(len(part))[within]
        future.set_result(Galaxy(part.images[index], part.labels[index], part.image_ids[index], part.digests[index]))
        return future


def collate(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`GalaxyBatches` hands over whole batches already."""
    return batch


def count_classes(galaxies: GalaxyArrays) -> np.ndarray:
    """Images of each class, shape (classes,)."""
    return np.bincount(galaxies.labels, minlength=len(galaxies.class_names))


def check_classes(data: str, train: Sequence[GalaxyArrays], held_out: dict[str, GalaxyArrays]) -> None:
    """Refuse data with galaxies without a class, without test galaxies, or with a test class that cannot be learned.

    Raises
    ------
    UserError
    """
    for split, galaxies in {"train": train[0], **held_out}.items():
        if (galaxies.labels < 0).any():
            image_id = galaxies.image_ids[int(np.argmin(galaxies.labels))]
            raise UserError(f"{data}: galaxy {image_id} of {split} has no class; move such to a split named unlabelled")
    if not len(held_out["test"]):
        raise UserError(f"{data}: the test split is empty; build it with python -m gz2_dataset build")
    missing = (count_classes(held_out["test"]) > 0) & (sum(map(count_classes, train)) == 0)
    if missing.any():
        name = train[0].class_names[int(np.argmax(missing))]
        raise UserError(f"{data}: class {name} is in test but has no training images; add some and build again")


def check_generator_saw_none(folder: str, held_out: dict[str, GalaxyArrays]) -> None:
    """Refuse generated images whose generator learned from a galaxy of ``held_out``.

    Parameters
    ----------
    folder : str
        Generated-images folder; its ``seen_images.csv`` (columns image_id and sha256) lists what the generator saw.
    held_out : dict of GalaxyArrays
        The splits that nobody may have seen.

    Raises
    ------
    UserError
        If the list is missing or, by image_id or by bytes, shares a galaxy with ``held_out``.
    """
    path = Path(folder) / "seen_images.csv"
    try:
        seen = pd.read_csv(path, dtype=str, usecols=["image_id", "sha256"])
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: does not tell which images the generator saw ({error}); make the images with generate.py"
        ) from None
    ids, digests = set(seen["image_id"]), set(seen["sha256"])
    for split, galaxies in held_out.items():
        pairs = zip(galaxies.image_ids, galaxies.digests, strict=True)
        if shared := next((name for name, digest in pairs if name in ids or digest in digests), None):
            raise UserError(
                f"{path}: the generator saw {shared} of the {split} split, so results would be worthless; "
                "train the generator on the train split of the same data"
            )
