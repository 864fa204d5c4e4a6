"""How sure figures are: bootstrap over galaxies and seeds, tests of difference and equivalence, Holm's correction.

The estimator of a figure is its mean over the seeds. Its 95 % interval is a percentile bootstrap [1]_ that resamples
the galaxies within their true class (the number of test galaxies of a class is fixed by design). Of n galaxies n - 1
are drawn and their weights rescaled, which makes the variance unbiased for classes of a dozen galaxies [2]_. All runs
see the same resampled galaxies, so the difference of two arms, taken seed by seed, is paired.

The replicates of a mean over S seeds already contain the scatter of each seed on these galaxies. Of the variance
between the seeds, only the part beyond that scatter is added to them, as an error of the mean that follows Student's t
with S - 1 degrees of freedom. Resampling the seeds as well would count the scatter twice, and resampling only three
seeds would give too little spread. On simulated classifiers (benchmarks/coverage.py) the intervals cover the truth in
90 to 94 % of cases with three seeds or more, in 88 to 97 % with two, and in 94 % with one where seeds do not differ;
where they do, the intervals of one seed cover it in as little as 45 %.

Draws of a class made rare, each with its own training galaxies and its own generator, are replicated as seeds are: the
figure of a draw is the mean over its seeds, and the draws' variance beyond the scatter of the galaxies is an error of
the mean with the t distribution. It contains that of the seeds. Several generators within one study, with whose images
the seeds take turns, are replicated likewise.

With one seed an interval says how far another set of galaxies would move the figure of these very nets. How far another
training would move it is only included in the intervals of several seeds, and two or three seeds estimate it poorly.

Where a run has all galaxies of a class right, or all wrong, resampling them can give no other outcome. The share u of
such galaxies that would come out otherwise is then drawn from Jeffreys' posterior, Beta(1/2, n + 1/2) [3]_, the same
for all seeds of an arm: 0 of 19 right leaves a recall of up to 0.12.

References
----------
.. [1] Efron, B. & Tibshirani, R. J. 1993, An Introduction to the Bootstrap (Chapman & Hall)
.. [2] Rao, J. N. K. & Wu, C. F. J. 1988, Journal of the American Statistical Association, 83, 231
.. [3] Brown, L. D., Cai, T. T. & DasGupta, A. 2001, Statistical Science, 16, 101
.. [4] Schuirmann, D. J. 1987, Journal of Pharmacokinetics and Biopharmaceutics, 15, 657
.. [5] Holm, S. 1979, Scandinavian Journal of Statistics, 6, 65
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

METRICS = ("precision", "recall", "f1")
ACCURACIES = ("accuracy", "balanced_accuracy", "mix_accuracy")
REPLICATES = 10_000
LEVEL = 0.95
ALPHA = 1 - LEVEL
POWER = 0.80
ROUNDING = 1e-6
"""Smaller differences count as none: replicates are kept in single precision."""
CHUNK = 20_000_000
"""Number of galaxy weights in memory at a time."""

Figures = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Figures (R, ...) of one run, from weights of the galaxies (R, N) and shares that come out otherwise (R, classes)."""


@dataclass(frozen=True)
class Bootstrap:
    """Figures and their bootstrap replicates.

    Attributes
    ----------
    value : ndarray, shape (runs, ...), or (...) once `over_seeds` has averaged the runs
    replicates : ndarray, shape (replicates, *value.shape)
    """

    value: np.ndarray
    replicates: np.ndarray

    def __getitem__(self, runs: Sequence[int]) -> "Bootstrap":
        """Some of the runs."""
        return Bootstrap(self.value[runs], self.replicates[:, runs])

    def __sub__(self, other: "Bootstrap") -> "Bootstrap":
        """Differences, paired by galaxy and run."""
        return Bootstrap(self.value - other.value, self.replicates - other.replicates)

    def over_seeds(self, seed: int = 0) -> "Bootstrap":
        """The mean over the runs (the seeds of an arm, or of a difference of arms), with the spread of the seeds."""
        runs = len(self.value)
        mean = Bootstrap(self.value.mean(axis=0), self.replicates.mean(axis=1))
        if runs == 1:
            return mean
        between = self.value.var(axis=0, ddof=1)
        scatter = (self.replicates.var(axis=0).mean(axis=0) - mean.replicates.var(axis=0)) * runs / (runs - 1)
        error = np.sqrt(np.maximum(between - scatter, 0) / runs)
        size = (len(self.replicates), *[1] * between.ndim)
        student = np.random.default_rng(seed).standard_t(runs - 1, size=size)
        return Bootstrap(mean.value, (mean.replicates + error * student).astype(np.float32))

    def over_trainings(self, draws: Sequence[Hashable], seed: int = 0) -> "Bootstrap":
        """The mean over trainings of several draws, with the spread of the draws; of one draw, that of its seeds.

        Parameters
        ----------
        draws : sequence
            The draw that each run belongs to, or the generator whose images it learned from.
        seed : int
            Of the error's distribution.
        """
        members = [[i for i, own in enumerate(draws) if own == draw] for draw in dict.fromkeys(draws)]
        if len(members) == 1:
            return self.over_seeds(seed)
        value = np.stack([self.value[runs].mean(axis=0) for runs in members])
        replicates = np.stack([self.replicates[:, runs].mean(axis=1) for runs in members], axis=1)
        return Bootstrap(value, replicates).over_seeds(seed)

    def interval(self, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the percentile interval, shaped like ``value``, which always lies between them."""
        tail = 50 * (1 - level)
        low, high = np.percentile(self.replicates, [tail, 100 - tail], axis=0)
        return np.minimum(low, self.value), np.maximum(high, self.value)

    def p_value(self) -> np.ndarray:
        """Two-sided p value of "the figure is 0", shaped like ``value``.

        It is twice the smaller tail beyond 0, and at least 2 / (replicates + 1).
        """
        below, above = self.replicates <= ROUNDING, self.replicates >= -ROUNDING
        tails = np.minimum(below.sum(axis=0), above.sum(axis=0))
        return np.minimum(1.0, 2 * (tails + 1) / (len(self.replicates) + 1))

    def p_equivalence(self, margin: float) -> np.ndarray:
        """P value of "the figure is off 0 by the margin or more" (two one-sided tests [4]_), shaped like ``value``.

        Below 0.05 the 90 % interval lies within the margin, and the figure may be called equivalent to 0.
        """
        tails = np.maximum((self.replicates >= margin).sum(axis=0), (self.replicates <= -margin).sum(axis=0))
        return (tails + 1) / (len(self.replicates) + 1)

    def detectable(self, level: float = LEVEL, power: float = POWER) -> np.ndarray:
        """The smallest true figure that the test against 0 finds with this power, shaped like ``value``.

        A figure is found where it lies beyond c, the critical value of the replicates around their mean. It does so
        with the given power if the truth lies as far above c as the (1 - power) quantile of these replicates lies
        below 0. With few seeds they have the tails of Student's t.
        """
        around = self.replicates - self.replicates.mean(axis=0)
        critical = np.quantile(np.abs(around), level, axis=0)
        return critical - np.quantile(around, 1 - power, axis=0)


def scores(confusion: np.ndarray, mix: np.ndarray | None = None) -> np.ndarray:
    """Precision, recall and F1 of confusion matrices, and their accuracies.

    F1 = 2 TP / (2 TP + FP + FN). A figure whose denominator is 0 (a class never predicted, or without galaxies) is 0,
    as in scikit-learn with ``zero_division=0``. The balanced accuracy is the mean recall of the classes that have
    galaxies, the mix accuracy their mean weighted by ``mix``: the accuracy on galaxies in that mix.

    Parameters
    ----------
    confusion : ndarray, shape (..., classes, classes)
        Galaxies, rows by true class, columns by predicted class; may be weighted.
    mix : ndarray, shape (classes,), optional
        How frequent the classes are in the mix for which the accuracy is wanted; by default, as in ``confusion``.

    Returns
    -------
    ndarray, shape (..., classes + 2, 3)
        One row per class and one of their means (macro) with the columns `METRICS`, then one row with the columns
        `ACCURACIES`.

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


def confusion_matrices(
    labels: np.ndarray, predictions: np.ndarray, n_classes: int, weights: np.ndarray, doubt: np.ndarray
) -> np.ndarray:
    """Weighted counts of one run by true class (rows) and predicted class (columns).

    Parameters
    ----------
    labels, predictions : ndarray of int, shape (N,)
    n_classes : int
    weights : ndarray, shape (R, N)
        Weights of the galaxies in each replicate.
    doubt : ndarray, shape (R, classes)
        Share of a class's galaxies that come out otherwise where all of them are right or all of them wrong: in the
        first case they are spread over the other classes, in the second they become right.

    Returns
    -------
    ndarray, shape (R, classes, classes)
    """
    one_hot = np.eye(n_classes, dtype=weights.dtype)
    confusion = np.zeros((len(weights), n_classes, n_classes), weights.dtype)
    for c in np.unique(labels):
        rows = labels == c
        confusion[:, c] = weights[:, rows] @ one_hot[predictions[rows]]
        right = predictions[rows] == c
        if right.all() or not right.any():
            otherwise = (1 - one_hot[c]) / (n_classes - 1) if right.all() else one_hot[c]
            total = confusion[:, c].sum(axis=1, keepdims=True)
            confusion[:, c] += doubt[:, [c]] * (total * otherwise - confusion[:, c])
    return confusion


def bootstrap(
    labels: np.ndarray,
    figures: Sequence[Figures],
    n_classes: int,
    groups: Sequence[Hashable] | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Bootstrap:
    """Figures of each run with bootstrap replicates over the galaxies; the module's docstring describes the estimator.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        True classes of the galaxies, which all runs were tested on.
    figures : sequence of callable
        The figures of each run; all of one shape.
    n_classes : int
    groups : sequence, optional
        The arm of each run. The seeds of an arm share what is drawn for classes that are all right or all wrong;
        without groups each run is its own arm.
    replicates : int
    seed : int
        Of the resampling.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 50)
    >>> def accuracy_of(predictions):
    ...     return lambda weights, doubt: (weights * (predictions == labels)).sum(axis=1) / weights.sum(axis=1)
    >>> boot = bootstrap(labels, [accuracy_of(np.where(np.arange(100) % 4 > 0, labels, 0)), accuracy_of(labels)], 2)
    >>> low, high = (boot[[1]] - boot[[0]]).over_seeds().interval()
    >>> bool(0 < low < 0.13 < high)
    True
    """
    groups = range(len(figures)) if groups is None else groups
    rng = np.random.default_rng(seed)
    of_group = {group: np.random.default_rng([seed, 1, i]) for i, group in enumerate(dict.fromkeys(groups))}
    n_of_class = np.bincount(labels, minlength=n_classes)
    everything, nothing = np.ones((1, len(labels))), np.zeros((1, n_classes))
    value = np.stack([figure(everything, nothing)[0] for figure in figures])
    resampled = np.empty((replicates, *value.shape), np.float32)
    step = max(1, CHUNK // len(labels))
    for start in range(0, replicates, step):
        rows = slice(start, min(start + step, replicates))
        size = rows.stop - start
        weights = drawn_weights(labels, size, rng)
        doubts = {group: of.beta(0.5, n_of_class + 0.5, (size, n_classes)) for group, of in of_group.items()}
        for run, (figure, group) in enumerate(zip(figures, groups, strict=True)):
            resampled[rows, run] = figure(weights, doubts[group])
    return Bootstrap(value, resampled)


def drawn_weights(labels: np.ndarray, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Weights (replicates, N) of galaxies drawn with replacement within their class: n - 1 of n, rescaled to sum to n.

    A class with a single galaxy keeps it.
    """
    weights = np.empty((replicates, len(labels)), np.float32)
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        n, drawn = len(rows), max(len(rows) - 1, 1)
        weights[:, rows] = rng.multinomial(drawn, np.full(n, 1 / n), size=replicates) * (n / drawn)
    return weights


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction [5]_: p values that hold for the whole family at once.

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
