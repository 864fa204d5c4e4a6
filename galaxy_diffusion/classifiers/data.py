"""Labelled galaxies as whole normalised batches, and the check that every class can be tested and learned."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from galaxy_diffusion.classifiers.augmentation import geometric, photometric, random_erasing, uniform_draws
from galaxy_diffusion.classifiers.mixing import cutmix, mixup, sample_pairing
from galaxy_diffusion.shared.symmetry import turn
from gz2_dataset import GalaxyArrays, UserError


class GalaxyBatches(Dataset):
    """Galaxies of one or more arrays; a `DataLoader` fetches whole batches instead of single images.

    Parameters
    ----------
    parts : sequence of GalaxyArrays
        Images of the same size, indexed one part after another; they may be memory-mapped.
    mean, std : sequence of float
        Of each channel, in [0, 1], with which the backbone's input is normalised.
    targets : callable
        What is learned of the galaxies of a part, an array of length N; by default the index of their class.

    Examples
    --------
    >>> loader = DataLoader(GalaxyBatches([galaxies], mean, std), batch_size=64, collate_fn=collate)  # doctest: +SKIP
    """

    def __init__(
        self,
        parts: Sequence[GalaxyArrays],
        mean: Sequence[float],
        std: Sequence[float],
        targets: Callable[[GalaxyArrays], np.ndarray] = attrgetter("labels"),
    ):
        self.parts = parts
        self.labels = np.concatenate([targets(part) for part in parts])
        self.starts = np.cumsum([0, *map(len, parts)])
        self.mean, self.std = (255 * torch.tensor(value).view(3, 1, 1) for value in (mean, std))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        rows = np.asarray(indices)
        return self.normalised(self.images(rows), self.labels[rows])

    def images(self, indices: np.ndarray) -> torch.Tensor:
        """uint8 images, shape (B, 3, H, W), channels last in memory."""
        images = np.empty((len(indices), *self.parts[0].images.shape[1:]), np.uint8)
        for part, start in zip(self.parts, self.starts, strict=False):
            here = (start <= indices) & (indices < start + len(part))
            images[here] = part.images[indices[here] - start]
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def normalised(self, images: torch.Tensor, labels: np.ndarray | torch.Tensor) -> dict[str, torch.Tensor]:
        """What the model takes: float32 ``pixel_values`` of shape (B, 3, H, W), and ``labels``.

        Labels are int64, shape (B,), or, where images were mixed, float32 targets, shape (B, classes).
        """
        pixel_values = images.float().sub_(self.mean).div_(self.std)
        return {"pixel_values": pixel_values, "labels": torch.as_tensor(labels)}


class TrainingBatches(GalaxyBatches):
    """A whole training in the order in which it sees the galaxies: item i is the i-th image seen.

    Every epoch visits each galaxy once. Order, flips and quarter turns, augmentation and mixing depend only on the
    seed and the position in the training, so an interrupted training continues exactly, with any number of workers and
    processes.

    Parameters
    ----------
    parts, mean, std
        As for `GalaxyBatches`.
    images_to_see : int
        Length of the training.
    seed : int
    rows : ndarray of int, optional
        What an epoch visits, if not every image once; see `remedies.balanced_rows`.
    augmentations : sequence of {"geometric", "photometric", "random_erasing"}
        Applied in this order, after the flips and turns.
    mixing : {"none", "mixup", "cutmix", "sample_pairing"}
        How an image is mixed with the one at the same position in a second order of the galaxies.
    targets
        As for `GalaxyBatches`.
    """

    def __init__(
        self,
        parts: Sequence[GalaxyArrays],
        mean: Sequence[float],
        std: Sequence[float],
        images_to_see: int,
        seed: int,
        rows: np.ndarray | None = None,
        augmentations: Sequence[str] = (),
        mixing: str = "none",
        targets: Callable[[GalaxyArrays], np.ndarray] = attrgetter("labels"),
    ):
        super().__init__(parts, mean, std, targets)
        self.images_to_see, self.seed = images_to_see, seed
        self.rows = np.arange(len(self.labels)) if rows is None else rows
        self.augmentations, self.mixing = augmentations, mixing

    def __len__(self) -> int:
        return self.images_to_see

    def __getitems__(self, positions: Sequence[int]) -> dict[str, torch.Tensor]:
        places = np.asarray(positions)
        images, labels = self.augmented(places)
        if self.mixing == "none":
            return self.normalised(images, labels)
        others, other_labels = self.augmented(places, order=1)
        if self.mixing == "sample_pairing":
            progress = torch.from_numpy(places / self.images_to_see)
            return self.normalised(sample_pairing(images.float(), others.float(), progress), labels)
        num_classes = len(self.parts[0].class_names)
        targets, other_targets = (
            F.one_hot(torch.from_numpy(those), num_classes).float() for those in (labels, other_labels)
        )
        draws = uniform_draws(self.seed, "mixing", places)
        mix = {"mixup": mixup, "cutmix": cutmix}[self.mixing]
        return self.normalised(*mix(images.float(), others.float(), targets, other_targets, draws))

    def augmented(self, positions: np.ndarray, order: int = 0) -> tuple[torch.Tensor, np.ndarray]:
        """The augmented images, shape (B, 3, H, W), and their labels, in one of the two orders."""
        indices, symmetry = self.drawn(positions, order)
        images = turn(self.images(indices), torch.from_numpy(symmetry))
        return self.augment(images, positions), self.labels[indices]

    def augment(self, images: torch.Tensor, positions: np.ndarray) -> torch.Tensor:
        """Each image augmented with the draws of its position."""
        images = images.float() if self.augmentations else images
        for name in self.augmentations:
            draws = uniform_draws(self.seed, name, positions)
            if name == "random_erasing":
                images = random_erasing(images, draws, fill=self.mean)
            else:
                images = {"geometric": geometric, "photometric": photometric}[name](images, draws)
        return images

    def drawn(self, positions: np.ndarray, order: int = 0) -> np.ndarray:
        """Index and symmetry of the image at each position of one of the two orders, shape (2, B)."""
        epochs, within = np.divmod(positions, len(self.rows))
        drawn = np.empty((2, len(within)), np.int64)
        for epoch in np.unique(epochs):
            rows, symmetry = epoch_of(len(self.rows), self.seed, int(epoch), order)
            here = epochs == epoch
            drawn[:, here] = self.rows[rows[within[here]]], symmetry[within[here]]
        return drawn


@lru_cache(maxsize=4)
def epoch_of(size: int, seed: int, number: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Each of ``size`` rows once, shuffled, and a symmetry (0 to 7) for each, both of shape (size,)."""
    rng = np.random.default_rng([seed, number, order])
    return rng.permutation(size), rng.integers(8, size=size)


def collate(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The identity: `GalaxyBatches` already gives whole batches."""
    return batch


def check_classes(data: str, train: Sequence[GalaxyArrays], held_out: dict[str, GalaxyArrays]) -> None:
    """Refuse data that has galaxies without a class, no test galaxies, or a test class without training images.

    Raises
    ------
    UserError
    """
    for split, galaxies in {"train": train[0], **held_out}.items():
        if (galaxies.labels < 0).any():
            image_id = galaxies.image_ids[int(np.argmin(galaxies.labels))]
            raise UserError(f"{data}: galaxy {image_id} of {split} has no class; move it to a split named unlabelled")
    if not len(held_out["test"]):
        raise UserError(f"{data}: the test split is empty; build it with python -m gz2_dataset build")
    missing = (held_out["test"].counts > 0) & (sum(part.counts for part in train) == 0)
    if missing.any():
        name = train[0].class_names[int(np.argmax(missing))]
        raise UserError(f"{data}: class {name} is in test but has no training images; add some and build again")
