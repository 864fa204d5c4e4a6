"""Which real images generated ones are compared with, and the floor: what other real images get at the same sizes.

Generated images of a class are compared with galaxies that the generator never saw: compared with training galaxies, a
generator that repeats them would look perfect. Training galaxies serve for the floor instead. An ideal generator would
draw galaxies like them, so the figure that they get against the unseen galaxies, if as many are taken as there are
generated images, is the best that any generator can expect with so few. Where a class has too few unseen galaxies, the
two change places.

So that sizes match, no more generated images of a class are compared at a time than there are real ones for the floor.
Where there are more, a figure that depends on their number, as recall and coverage do, is the mean over several subsets
of that size, and one that does not, as KID, takes them all. Over all classes, each class has equally many images in
each of the three sets: otherwise the figure would measure the mix of classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass

import numpy as np
from tqdm.auto import tqdm

from galaxy_diffusion.evaluation.beside_floor import BesideFloor
from galaxy_diffusion.evaluation.jackknife import Estimate, distance_estimate

MIN_UNSEEN = 20
"""A class with fewer unseen galaxies than this is compared with its training galaxies."""
MIN_IMAGES = 10
"""A figure from fewer images on either side says nothing and is left out."""
SUBSETS = 10
"""Subsets of the generated images, where there are more of them than of real ones for the floor."""
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

    def cut(self, n: int, generated: int) -> "Sets":
        """``n`` real images of each kind and some of the generated ones."""
        return Sets(self.reference[:n], self.others[:n], self.generated[:generated])


def choose_sets(unseen: np.ndarray, trained: np.ndarray, generated: np.ndarray, seed: int = 0) -> Sets:
    """The sets of a class, in random order, from the rows of its unseen, training and generated images."""
    rng = np.random.default_rng(seed)
    unseen, trained, generated = (rng.permutation(rows) for rows in (unseen, trained, generated))
    return Sets(unseen, trained, generated) if len(unseen) >= MIN_UNSEEN else Sets(trained, unseen, generated)


def of_all_classes(classes: Sequence[Sets]) -> list[Sets]:
    """The sets of all classes together, with the same mix of classes in each; a single class stays as it is."""
    if len(classes) == 1:
        return list(classes)
    sizes = [min(len(sets.reference), *sets.sizes) for sets in classes]
    times = min(len(sets.generated) / max(n, 1) for sets, n in zip(classes, sizes, strict=True))
    return [sets.cut(n, int(n * times)) for sets, n in zip(classes, sizes, strict=True)]


def subsets(classes: Sequence[Sets], seed: int) -> list[np.ndarray]:
    """Rows of generated images of the size of the comparison: all of them, or `SUBSETS` random choices of so many."""
    if all(len(sets.generated) == sets.sizes[1] for sets in classes):
        return [np.concatenate([sets.generated for sets in classes])]
    rng = np.random.default_rng(seed)
    return [np.concatenate([rng.permutation(s.generated)[: s.sizes[1]] for s in classes]) for _ in range(SUBSETS)]


def compare(
    estimate: Callable[[np.ndarray, np.ndarray], dict[str, Estimate]],
    figures: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    real: np.ndarray,
    generated: np.ndarray,
    classes: Sequence[Sets],
    description: str = "compare",
    seed: int = 0,
    of_any_size: Callable[[np.ndarray, np.ndarray], dict[str, Estimate]] | None = None,
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
        Seed of the random splits and subsets.
    of_any_size : callable, optional
        Like ``estimate``, for those of the ``figures`` that do not depend on the number of images.

    Returns
    -------
    dict of BesideFloor
        By the name of the figure. Where there are more generated images than fit, its value and the ends of its
        interval are means over `subsets`; the interval is that of one subset, so on the safe side. The floor is the
        mean over `SPLITS` random splits of the real images into sets of these sizes, its range the lowest and the
        highest of them. Empty if there are fewer than `MIN_IMAGES` images on either side.
    """
    n_real, n_generated = np.sum([sets.sizes for sets in classes], axis=0).tolist()
    if min(n_real, n_generated) < MIN_IMAGES:
        return {}
    reference = np.concatenate([sets.reference for sets in classes])
    found = [estimate(real[reference], generated[rows]) for rows in subsets(classes, seed)]
    estimates = {name: mean([of_subset[name] for of_subset in found]) for name in found[0]}
    counts = dict.fromkeys(estimates, int(n_generated))
    if of_any_size:
        everything = np.concatenate([sets.generated for sets in classes])
        unbiased = of_any_size(real[reference], generated[everything])
        estimates |= unbiased
        counts |= dict.fromkeys(unbiased, len(everything))

    rng = np.random.default_rng(seed)
    floors = []
    for _ in tqdm(range(SPLITS), desc=description, unit="split"):
        halves = [split(sets, rng) for sets in classes]
        floors.append(figures(*(real[np.concatenate(half)] for half in zip(*halves, strict=True))))
    return {
        name: BesideFloor(
            **asdict(found),
            n_real=n_real,
            n_generated=counts[name],
            floor=float(np.mean([floor[name] for floor in floors])),
            floor_low=float(min(floor[name] for floor in floors)),
            floor_high=float(max(floor[name] for floor in floors)),
        )
        for name, found in estimates.items()
    }


def compare_distance(
    figure: str,
    distance: Callable[[np.ndarray, np.ndarray], float],
    real: np.ndarray,
    generated: np.ndarray,
    classes: Sequence[Sets],
    description: str = "compare",
    seed: int = 0,
) -> dict[str, BesideFloor]:
    """`compare` by one distance, which is never negative, named ``figure``."""
    return compare(
        lambda first, second: {figure: distance_estimate(distance, first, second, seed)},
        lambda first, second: {figure: distance(first, second)},
        real,
        generated,
        classes,
        description,
        seed,
    )


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of a figure over subsets, and of the ends of its interval."""
    return Estimate(*(float(np.mean(column)) for column in zip(*map(astuple, estimates), strict=True)))


def split(sets: Sets, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Real images of a class, divided anew into two sets of the sizes of the comparison."""
    n_real, n_generated = sets.sizes
    mixed = rng.permutation(np.concatenate([sets.reference, sets.others]))
    return mixed[:n_real], mixed[n_real : n_real + n_generated]
