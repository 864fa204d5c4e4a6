"""Figures of two sets of images, with intervals: a jackknife over groups of images.

The images of each set are divided at random into groups; leaving out one group at a time shows how much the figure
depends on the images at hand [1]_. The variances of the two sets add up. A bootstrap would not do here: it draws images
twice, and an image drawn twice is its own nearest neighbour and lowers the rank of a covariance, so that Fréchet
distances and neighbour counts of bootstrap samples are systematically off. The jackknife errs on the safe side: on
average its variance is at least the true one [2]_.

An interval says how far another draw of equally many images, real and generated, would move the figure. It does not say
how far the figure is from that of infinitely many images. For the Fréchet distance, recall and coverage, which depend
on the number of images, the real-against-real floor of the same sizes shows that.

References
----------
.. [1] Shao, J. & Wu, C. F. J. 1989, Annals of Statistics, 17, 1176
.. [2] Efron, B. & Stein, C. 1981, Annals of Statistics, 9, 586
.. [3] Wilson, E. B. 1927, Journal of the American Statistical Association, 22, 209
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

GROUPS = 20
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def jackknife(
    figures: Callable[[np.ndarray, np.ndarray], np.ndarray | float],
    n_real: int,
    n_generated: int,
    groups: int = GROUPS,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Figures of two sets and their standard errors.

    Parameters
    ----------
    figures : callable
        Takes indices into the real and into the generated images, returns one or several figures.
    n_real, n_generated : int
        Images in each set, at least 2.
    groups : int
        Groups per set, at most one per image.
    seed : int
        Seed of the division into groups.

    Returns
    -------
    value, standard_error : ndarray
        Shaped like the result of ``figures``.
    degrees_of_freedom : int
        Of the standard error.
    """
    rng = np.random.default_rng(seed)
    sets = np.arange(n_real), np.arange(n_generated)
    variance = 0.0
    for side, images in enumerate(sets):
        count = min(groups, len(images))
        group = rng.permutation(len(images)) % count
        left_out = [list(sets) for _ in range(count)]
        for g, pair in enumerate(left_out):
            pair[side] = images[group != g]
        replicates = np.array([figures(*pair) for pair in left_out])
        variance = variance + (count - 1) * replicates.var(axis=0)
    return np.asarray(figures(*sets)), np.sqrt(variance), min(groups, n_real, n_generated) - 1


def t_interval(
    value: np.ndarray | float, standard_error: np.ndarray | float, degrees_of_freedom: int, lowest: float = -np.inf
) -> Estimate:
    """Student's t interval, cut off at ``lowest``, the smallest value that the figure can have."""
    half = stats.t.ppf((1 + LEVEL) / 2, degrees_of_freedom) * standard_error
    return Estimate(float(value), float(max(value - half, lowest)), float(value + half))


def distance_estimate(
    distance: Callable[[np.ndarray, np.ndarray], float], real: np.ndarray, generated: np.ndarray, seed: int = 0
) -> Estimate:
    """A distance of two sets of images, (N, ...) and (M, ...), which is never negative, with its interval."""
    outcome = jackknife(lambda i, j: distance(real[i], generated[j]), len(real), len(generated), seed=seed)
    return t_interval(*outcome, lowest=0.0)


def share_interval(share: float, standard_error: float, n: int) -> Estimate:
    """Wilson's interval [3]_ of a share of ``n`` images, which count as fewer where its standard error says so.

    Where the share is 0 or 1 the standard error is no guide, and the images count as n.
    """
    variance = share * (1 - share)
    effective = min(n, variance / standard_error**2) if variance > 0 and standard_error > 0 else n
    z2 = stats.norm.ppf((1 + LEVEL) / 2) ** 2
    centre = (share + z2 / (2 * effective)) / (1 + z2 / effective)
    half = np.sqrt(z2 * (variance / effective + z2 / (4 * effective**2))) / (1 + z2 / effective)
    # Rounding may put an end at 0 or 1 on the wrong side of the share.
    return Estimate(
        float(share), float(min(max(centre - half, 0.0), share)), float(max(min(centre + half, 1.0), share))
    )
