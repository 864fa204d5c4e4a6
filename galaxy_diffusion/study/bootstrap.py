"""How sure figures are: bootstrap over galaxies and seeds, McNemar's test, Holm's correction, detectable effects.

The estimator of a figure is its mean over the seeds. Its 95 % interval is a percentile bootstrap [1]_ that resamples
the galaxies within their true class (the number of test galaxies a class is fixed by design). Of n galaxies n - 1 are
drawn and their weights rescaled, which makes the variance unbiased for classes of a dozen galaxies [2]_. All runs see
the same resampled galaxies, so the difference of two arms, taken seed by seed, is paired.

The replicates of a mean over S seeds already hold the scatter of each seed on these galaxies. Of the variance between
the seeds only what goes beyond that scatter is added to them, as an error of the mean that follows Student's t with
S - 1 degrees of freedom: to resample the seeds as well would count the scatter twice, and three seeds would resample to
too little. On simulated classifiers (benchmarks/coverage.py) the intervals cover the truth in 90 to 94 % of cases with
three seeds or more, in 88 to 97 % with two, and in 94 % with one where seeds do not differ; where they do, those of one
seed cover it in as little as 45 %.

With one seed an interval says how far another set of galaxies would move the figure of these very nets; how far another
training would move it is only in the intervals of several seeds, and two or three seeds know it badly. Where all
galaxies of a class are right (or wrong), the bootstrap knows no other outcome and the interval has no width; with n
galaxies the true rate can be off by about 3 / n.

References
----------
.. [1] Efron, B. & Tibshirani, R. J. 1993, An Introduction to the Bootstrap (Chapman & Hall)
.. [2] Rao, J. N. K. & Wu, C. F. J. 1988, Journal of the American Statistical Association, 83, 231
.. [3] McNemar, Q. 1947, Psychometrika, 12, 153
.. [4] Holm, S. 1979, Scandinavian Journal of Statistics, 6, 65
.. [5] Connor, R. J. 1987, Biometrics, 43, 207
.. [6] Bloom, H. S. 1995, Evaluation Review, 19, 547
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm

METRICS = ("precision", "recall", "f1")
ACCURACIES = ("accuracy", "balanced_accuracy", "natural_accuracy")
REPLICATES = 10_000
LEVEL = 0.95
ALPHA = 1 - LEVEL
POWER = 0.80
ROUNDING = 1e-6
"""Differences below it are none: replicates are kept in single precision."""


@dataclass(frozen=True)
class Bootstrap:
    """Figures and what resampling makes of them.

    The last two axes are those of `scores`; before them comes one of the runs, until `over_seeds` has averaged it.

    Attributes
    ----------
    value : ndarray, shape (runs, classes + 2, 3) or (classes + 2, 3)
    replicates : ndarray, shape (replicates, *value.shape)
    """

    value: np.ndarray
    replicates: np.ndarray

    def __getitem__(self, runs: Sequence[int]) -> "Bootstrap":
        """Some of the runs."""
        return Bootstrap(self.value[runs], self.replicates[:, runs])

    def __sub__(self, other: "Bootstrap") -> "Bootstrap":
        """Differences, galaxies and runs paired."""
        return Bootstrap(self.value - other.value, self.replicates - other.replicates)

    def over_seeds(self, seed: int = 0) -> "Bootstrap":
        """The mean over the runs, which are one arm's seeds, or two arms' differences, with the spread of the seeds."""
        runs = len(self.value)
        mean = Bootstrap(self.value.mean(axis=0), self.replicates.mean(axis=1))
        if runs == 1:
            return mean
        between = self.value.var(axis=0, ddof=1)
        scatter = (self.replicates.var(axis=0).mean(axis=0) - mean.replicates.var(axis=0)) * runs / (runs - 1)
        error = np.sqrt(np.maximum(between - scatter, 0) / runs)
        student = np.random.default_rng(seed).standard_t(runs - 1, size=(len(self.replicates), 1, 1))
        return Bootstrap(mean.value, (mean.replicates + error * student).astype(np.float32))

    def interval(self, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the percentile interval, each shaped like ``value``."""
        tail = 50 * (1 - level)
        low, high = np.percentile(self.replicates, [tail, 100 - tail], axis=0)
        return low, high

    def p_value(self) -> np.ndarray:
        """Two-sided p value of "the figure is 0", shaped like ``value``.

        It is twice the smaller tail beyond 0, and at least 2 / (replicates + 1).
        """
        below, above = self.replicates <= ROUNDING, self.replicates >= -ROUNDING
        tails = np.minimum(below.sum(axis=0), above.sum(axis=0))
        return np.minimum(1.0, 2 * (tails + 1) / (len(self.replicates) + 1))

    def detectable(self, level: float = LEVEL, power: float = POWER) -> np.ndarray:
        """The smallest true figure that a two-sided test against 0 finds with this power [6]_, shaped like ``value``.

        It is half the interval times 1 + z(power) / z((1 + level) / 2): 2.8 standard errors for 95 % and 80 %.
        """
        low, high = self.interval(level)
        return (high - low) / 2 * (1 + norm.ppf(power) / norm.ppf((1 + level) / 2))


def scores(confusion: np.ndarray, mix: np.ndarray | None = None) -> np.ndarray:
    """Precision, recall and F1 of confusion matrices, and their accuracies.

    F1 = 2 TP / (2 TP + FP + FN). A figure whose denominator is 0 (a class never predicted, or without galaxies) is 0,
    as in scikit-learn with ``zero_division=0``. The balanced accuracy is the mean recall of the classes that have
    galaxies, the natural one their mean weighted by ``mix``: the accuracy on galaxies that are as frequent as there.

    Parameters
    ----------
    confusion : ndarray, shape (..., classes, classes)
        Galaxies, rows by true class, columns by predicted class; may be weighted.
    mix : ndarray, shape (classes,), optional
        How frequent the classes are in nature; as in ``confusion`` where it is not given.

    Returns
    -------
    ndarray, shape (..., classes + 2, 3)
        A row a class and one of their means (macro) with the columns `METRICS`, then one with the columns `ACCURACIES`.

    Examples
    --------
    >>> scores(np.array([[3, 1], [0, 4]]))[0].round(3)
    array([1.   , 0.75 , 0.857])
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    counts = np.stack([right, right, 2 * right], axis=-1), np.stack([predicted, true, true + predicted], axis=-1)
    per_class = ratio(*counts)
    macro = per_class.mean(axis=-2, keepdims=True)
    recall, present = per_class[..., 1], (true > 0).astype(float)
    weights = true, present, present * (true if mix is None else mix)
    accuracies = [ratio((recall * w).sum(axis=-1), w.sum(axis=-1)) for w in weights]
    return np.concatenate([per_class, macro, np.stack(accuracies, axis=-1)[..., None, :]], axis=-2)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator > 0)


def confusion_matrices(labels: np.ndarray, predictions: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts by true class (rows) and predicted class (columns); (..., N) predictions give (..., classes, classes)."""
    one_hot = np.eye(n_classes)
    return np.einsum("nt,...np->...tp", one_hot[labels], one_hot[predictions])


def bootstrap(
    labels: np.ndarray,
    predictions: np.ndarray,
    n_classes: int,
    mix: np.ndarray | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Bootstrap:
    """Figures of each run with bootstrap replicates over the galaxies; see the module for the estimator.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
    predictions : ndarray of int, shape (runs, N)
        All on the same galaxies.
    n_classes : int
    mix : ndarray, shape (classes,), optional
        See `scores`.
    replicates : int
    seed : int
        Of the resampling. The result does not depend on the order of the galaxies.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 50)
    >>> boot = bootstrap(labels, np.stack([np.where(np.arange(100) % 4 > 0, labels, 0), labels]), n_classes=2)
    >>> low, high = (boot[[1]] - boot[[0]]).over_seeds().interval()
    >>> bool(low[1, 1] > 0)
    True
    """
    rng = np.random.default_rng(seed)
    one_hot = np.eye(n_classes, dtype=np.float32)
    drawn = {}
    for c in np.unique(labels):
        # Galaxies of a class that all runs treat alike are interchangeable: draw how many of each kind, not which.
        kinds, counts = np.unique(predictions[:, labels == c], axis=1, return_counts=True)
        drawn[c] = kinds, resample(counts, replicates, rng).astype(np.float32)
    resampled = np.empty((replicates, len(predictions), n_classes + 2, 3), np.float32)
    for run in range(len(predictions)):
        confusion = np.zeros((replicates, n_classes, n_classes), np.float32)
        for c, (kinds, weights) in drawn.items():
            confusion[:, c] = weights @ one_hot[kinds[run]]
        resampled[:, run] = scores(confusion, mix)
    return Bootstrap(scores(confusion_matrices(labels, predictions, n_classes), mix), resampled)


def resample(counts: np.ndarray, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Weights (replicates, kinds) of n - 1 units drawn with replacement from n = sum(counts), rescaled to sum to n."""
    n = counts.sum()
    drawn = max(n - 1, 1)
    return rng.multinomial(drawn, counts / n, size=replicates) * (n / drawn)


def mcnemar(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact test of two arms on the same galaxies [3]_.

    With several seeds a galaxy counts for the arm that gets it right with more of them, so that each galaxy is one
    independent unit; with one seed that is McNemar's test itself. The nets are taken as given.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
    first, second : ndarray of int, shape (seeds, N)
        Predictions of the two arms.

    Returns
    -------
    gained, lost : int
        Galaxies that the second arm does better and worse than the first.
    p : float
        Two-sided p value; 1 where the arms do not differ.
    """
    before, after = ((arm == labels).sum(axis=0) for arm in (first, second))
    gained, lost = int((after > before).sum()), int((after < before).sum())
    return gained, lost, binomtest(gained, gained + lost).pvalue if gained + lost else 1.0


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction [4]_: p values that hold for the whole family at once.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return adjusted


def detectable_difference(n: int, discordance: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest difference of two recalls that a paired test on the same galaxies finds [5]_.

    With z_a = z(1 - alpha / 2) and z_b = z(power), n = (z_a sqrt(psi) + z_b sqrt(psi - d^2))^2 / d^2 galaxies are
    needed to find a difference d where a share psi is right in one run only; this is that formula solved for d.

    Parameters
    ----------
    n : int
        Test galaxies of the class.
    discordance : float
        Share psi of them that exactly one of the two runs gets right, in [0, 1].
    alpha : float
        Of the two-sided test, divided by the number of comparisons where there are many.
    power : float

    Returns
    -------
    float
        In (0, discordance]; NaN where not even all discordant galaxies on one side would be found.

    Examples
    --------
    >>> round(detectable_difference(100, 0.2), 3), round(detectable_difference(19, 0.2), 3)
    (0.124, nan)
    """
    a, b = norm.ppf(1 - alpha / 2), norm.ppf(power)
    root = n + b**2 - a**2
    if root < 0:
        return np.nan
    difference = np.sqrt(discordance) * (a * np.sqrt(n) + b * np.sqrt(root)) / (n + b**2)
    return float(difference) if difference <= discordance else np.nan
