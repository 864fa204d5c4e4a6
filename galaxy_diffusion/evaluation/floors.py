"""Which real images generated ones are compared with, and the floor: what other real images get at the same sizes.

Generated images of a class are compared with galaxies that the generator never saw: compared with training galaxies, a
generator that repeats them would look perfect. Training galaxies serve for the floor instead. An ideal generator would
draw galaxies like them, so the figure that they get against the unseen galaxies, if as many are taken as there are
generated images, is the best that any generator can expect with so few. Where a class has too few unseen galaxies, the
two change places.

So that sizes match, no more generated images of a class are compared than there are real ones for the floor. Over all
classes, each class has equally many images in each of the three sets: otherwise the figure would measure the mix of
classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from tqdm.auto import tqdm

from galaxy_diffusion.evaluation.beside_floor import BesideFloor
from galaxy_diffusion.evaluation.jackknife import Estimate

MIN_UNSEEN = 20
"""A class with fewer unseen galaxies than this is compared with its training galaxies."""
MIN_IMAGES = 10
"""A figure from fewer images on either side says nothing and is left out."""
SPLITS = 20
"""Random splits of the real images for the floor."""


@dataclass(frozen=True)
class Sets:
    """Images of one class: rows of the real and of the generated images' features.

    Attributes
    ----------
    reference : ndarray of int
        Real images that the generated ones are compared with.
    others : ndarray of int
        Real images for the floor, none of them in ``reference``.
    generated : ndarray of int
    """

    reference: np.ndarray
    others: np.ndarray
    generated: np.ndarray

    @property
    def sizes(self) -> tuple[int, int]:
        """Real and generated images in a comparison."""
        return len(self.reference), min(len(self.others), len(self.generated))

    def cut(self, n: int) -> "Sets":
        """``n`` images of each."""
        return Sets(self.reference[:n], self.others[:n], self.generated[:n])


def choose_sets(unseen: np.ndarray, trained: np.ndarray, generated: np.ndarray, seed: int = 0) -> Sets:
    """The sets of a class, in random order, from the rows of its unseen, training and generated images."""
    rng = np.random.default_rng(seed)
    unseen, trained, generated = (rng.permutation(rows) for rows in (unseen, trained, generated))
    return Sets(unseen, trained, generated) if len(unseen) >= MIN_UNSEEN else Sets(trained, unseen, generated)


def of_all_classes(classes: Sequence[Sets]) -> list[Sets]:
    """The sets of all classes together, with equally many images of a class in each; a single class stays as it is."""
    if len(classes) == 1:
        return list(classes)
    return [sets.cut(min(len(sets.reference), *sets.sizes)) for sets in classes]


def compare(
    estimate: Callable[[np.ndarray, np.ndarray], dict[str, Estimate]],
    figures: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    real: np.ndarray,
    generated: np.ndarray,
    classes: Sequence[Sets],
    description: str = "compare",
    seed: int = 0,
) -> dict[str, BesideFloor]:
    """Figures of generated images beside the floor.

    Parameters
    ----------
    estimate : callable
        Takes rows of real and of generated images, returns figures with intervals.
    figures : callable
        The same figures without intervals.
    real, generated : ndarray, shape (N, ...) and (M, ...)
        One row per image, as ``estimate`` takes them.
    classes : sequence of Sets
        Sets of one class, or of `of_all_classes`.
    description : str
        Text of the progress bar.
    seed : int
        Seed of the random splits.

    Returns
    -------
    dict of BesideFloor
        By the name of the figure. The floor is the mean over `SPLITS` random splits of the real images into sets of
        these sizes, its range the lowest and the highest of them. Empty if there are fewer than `MIN_IMAGES` images on
        either side.
    """
    n_real, n_generated = np.sum([sets.sizes for sets in classes], axis=0).tolist()
    if min(n_real, n_generated) < MIN_IMAGES:
        return {}
    reference = np.concatenate([sets.reference for sets in classes])
    compared = np.concatenate([sets.generated[: sets.sizes[1]] for sets in classes])
    estimates = estimate(real[reference], generated[compared])

    rng = np.random.default_rng(seed)
    floors = []
    for _ in tqdm(range(SPLITS), desc=description, unit="split"):
        halves = [split(sets, rng) for sets in classes]
        floors.append(figures(*(real[np.concatenate(half)] for half in zip(*halves, strict=True))))
    return {
        name: BesideFloor(
            **asdict(found),
            n_real=n_real,
            n_generated=n_generated,
            floor=float(np.mean([floor[name] for floor in floors])),
            floor_low=float(min(floor[name] for floor in floors)),
            floor_high=float(max(floor[name] for floor in floors)),
        )
        for name, found in estimates.items()
    }


def split(sets: Sets, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Real images of a class, divided anew into two sets of the sizes of the comparison."""
    n_real, n_generated = sets.sizes
    mixed = rng.permutation(np.concatenate([sets.reference, sets.others]))
    return mixed[:n_real], mixed[n_real : n_real + n_generated]
