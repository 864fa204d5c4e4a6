"""Whether a classifier's probabilities mean what they say: expected calibration error and reliability curve.

The confidence of a prediction is its largest probability. In 15 bins of equal width in confidence [1]_ the error is the
mean of |share of right predictions - mean confidence|, weighted by the galaxies in the bin. Few galaxies scatter in
their bins, so that even a classifier with exact probabilities has an error above 0: the floor, which is stated beside
the error. A resampled set of galaxies scatters once more, so the interval is a reflected (basic) bootstrap interval, in
which that bias cancels to first order.

References
----------
.. [1] Guo, C., Pleiss, G., Sun, Y. & Weinberger, K. Q. 2017, ICML, arXiv:1706.04599
"""

from dataclasses import dataclass

import numpy as np

from galaxy_diffusion.study.bootstrap import LEVEL, ratio

BINS = 15
READABLE = 20
"""Galaxies of a bin from which its share of right predictions is known to a fifth, sqrt(0.25 / 20) * 1.96 = 0.22."""


@dataclass(frozen=True)
class Calibration:
    """Calibration of one arm, the mean over its seeds.

    Attributes
    ----------
    error : float
        Expected calibration error, in [0, 1].
    low, high : float
        Its 95 % interval over the galaxies.
    floor : float
        The mean error of classifiers with these confidences whose probabilities are exact.
    confidence : float
        Mean confidence; above the accuracy the classifier is overconfident.
    accuracy : float
    curve : ndarray, shape (bins, 3)
        Mean confidence and share of right predictions of each bin over all seeds, NaN where it is empty; and how many
        galaxies it has, the mean over the seeds.
    """

    error: float
    low: float
    high: float
    floor: float
    confidence: float
    accuracy: float
    curve: np.ndarray

    @property
    def readable(self) -> np.ndarray:
        """The points of the curve that rest on enough galaxies to be read, shape (up to bins, 3)."""
        return self.curve[self.curve[:, 2] >= READABLE]


def calibration(labels: np.ndarray, probabilities: np.ndarray, replicates: int = 1000, seed: int = 0) -> Calibration:
    """Calibration of runs that differ only in their seed.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
    probabilities : ndarray, shape (seeds, N, classes)
        Of each class, summing to 1.
    replicates, seed : int
        Of the bootstrap and of the simulated exact classifiers.

    Examples
    --------
    >>> round(calibration(np.zeros(100, int), np.tile([0.8, 0.2], (1, 100, 1))).error, 3)
    0.2
    """
    rng = np.random.default_rng(seed)
    confidence = probabilities.max(axis=-1)
    right = probabilities.argmax(axis=-1) == labels
    n = len(labels)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=replicates)
    floors, resampled = [], []
    for sure, hit in zip(confidence, right, strict=True):
        exact = rng.random((replicates, n)) < sure
        floors.append(error_of(sure, exact, np.ones(n)).mean())
        resampled.append(error_of(sure, hit, weights))
    error = float(np.mean([error_of(c, r, np.ones(n)) for c, r in zip(confidence, right, strict=True)]))
    tail = 50 * (1 - LEVEL)
    high, low = 2 * error - np.percentile(np.mean(resampled, axis=0), [tail, 100 - tail])
    return Calibration(
        float(error),
        max(low, 0.0),
        high,
        float(np.mean(floors)),
        confidence.mean(),
        right.mean(),
        curve(confidence, right),
    )


def error_of(confidence: np.ndarray, right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected calibration error; ``confidence`` (N,), ``right`` and ``weights`` (..., N), broadcast to each other."""
    gaps = (weights * (right - confidence)) @ np.eye(BINS)[bin_of(confidence)]
    return np.abs(gaps).sum(axis=-1) / weights.sum(axis=-1)


def bin_of(confidence: np.ndarray) -> np.ndarray:
    """Bin of each confidence; a bin holds its upper edge, as in the paper."""
    return np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)


def curve(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    bins = bin_of(confidence.ravel())
    galaxies = np.bincount(bins, minlength=BINS)
    sums = [np.bincount(bins, weights=values.ravel(), minlength=BINS) for values in (confidence, right)]
    means = [np.where(galaxies > 0, ratio(values, galaxies), np.nan) for values in sums]
    return np.stack([*means, galaxies / len(confidence)], axis=1)
