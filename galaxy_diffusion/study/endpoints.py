"""What a study measures on the predictions of a classifier, above all the first endpoint.

F1 at the largest probability moves with the class prior of the training set: any images of the rare class raise it,
even copies. The first endpoint therefore does not depend on the prior. It is the average precision of the rare class
[1]_, which asks how well the galaxies are ordered by their probability of being rare; where training makes the class
more common by any factor, all odds grow by that factor and the order stays.

The other endpoints are the average precision against one look-alike class, by the odds of the two; balanced accuracy
and macro F1 after the prior is taken out of the logits (see `shared.class_prior`); and, as in the paper, figures at the
largest probability, on the test galaxies as they are and as if each class had equally many.

References
----------
.. [1] Davis, J. & Goadrich, M. 2006, ICML, 233
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from galaxy_diffusion.study.bootstrap import ACCURACIES, METRICS, Figures, confusion_matrices, ratio, scores

FIRST = "average_precision"
METRIC_NAMES = {
    FIRST: "average precision",
    "look_alike_precision": "average precision against the look-alike",
    "adjusted_balanced_accuracy": "balanced accuracy without the prior",
    "adjusted_f1": "F1 without the prior",
    "f1": "F1",
    "even_f1": "F1 with equally many of each class",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mix_accuracy": "accuracy in the mix of the data",
}
MARGIN = 0.03
"""Difference in average precision below which two arms count as equally good."""


@dataclass(frozen=True)
class Question:
    """What a study asks, fixed before any figure is known.

    Attributes
    ----------
    class_names : tuple of str
    rare_class : str
        The class whose average precision is the first endpoint.
    look_alike : str or None
        The class that it is most easily mistaken for.
    mix : ndarray, shape (classes,), or None
        How frequent the classes are in the data.
    margin : float
        Difference of the first endpoint that matters.
    """

    class_names: tuple[str, ...]
    rare_class: str
    look_alike: str | None = None
    mix: np.ndarray | None = None
    margin: float = MARGIN

    def rows(self, galaxies_per_class: np.ndarray) -> pd.DataFrame:
        """The galaxy_class, metric and n (test galaxies) of each figure of `figures_of`, in the same order."""
        n, total = dict(zip(self.class_names, galaxies_per_class, strict=True)), galaxies_per_class.sum()
        rows = [(self.rare_class, FIRST, n[self.rare_class])]
        if self.look_alike:
            rows.append((self.rare_class, "look_alike_precision", n[self.rare_class]))
        rows += [("all", "adjusted_balanced_accuracy", total), ("macro", "adjusted_f1", total)]
        rows += [(self.rare_class, "even_f1", n[self.rare_class])]
        rows += [(name, metric, n.get(name, total)) for name in (*self.class_names, "macro") for metric in METRICS]
        accuracies = ACCURACIES if self.mix is not None else ACCURACIES[:-1]
        rows += [("all", metric, total) for metric in accuracies]
        return pd.DataFrame(rows, columns=["galaxy_class", "metric", "n"])

    def figures_of(self, labels: np.ndarray, probabilities: np.ndarray, log_prior: np.ndarray | None) -> Figures:
        """How the figures of a run follow from the weights of the galaxies, for `bootstrap.bootstrap`.

        Parameters
        ----------
        labels : ndarray of int, shape (N,)
        probabilities : ndarray, shape (N, classes)
        log_prior : ndarray, shape (N, classes), or None
            Of `Runs.log_priors`; without it the adjusted figures are NaN.
        """
        k, rare = len(self.class_names), self.class_names.index(self.rare_class)
        with np.errstate(divide="ignore"):
            logits = np.log(probabilities)
        ranked = [(probabilities[:, rare], labels == rare, np.ones(len(labels), bool))]
        if self.look_alike:
            other = self.class_names.index(self.look_alike)
            odds = logits[:, rare] - np.maximum(logits[:, other], np.finfo(float).min)
            ranked.append((odds, labels == rare, (labels == rare) | (labels == other)))

        def figures(weights: np.ndarray, doubt: np.ndarray) -> np.ndarray:
            columns = [
                average_precision(score[chosen], positive[chosen], weights[:, chosen])[:, None]
                for score, positive, chosen in ranked
            ]
            if log_prior is None:
                columns.append(np.full((len(weights), 2), np.nan))
            else:
                adjusted = (logits - log_prior).argmax(axis=1)
                found = scores(confusion_matrices(labels, adjusted, k, weights, doubt))
                columns.append(np.stack([found[:, k + 1, 1], found[:, k, 2]], axis=1))
            confusion = confusion_matrices(labels, probabilities.argmax(axis=1), k, weights, doubt)
            even = scores(ratio(confusion, confusion.sum(axis=2, keepdims=True)))
            plain = scores(confusion, self.mix).reshape(len(weights), -1)
            columns += [even[:, [rare], 2], plain if self.mix is not None else plain[:, :-1]]
            return np.concatenate(columns, axis=1)

        return figures


def average_precision(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision of weighted samples: the sum over the thresholds of the rise in recall times the precision.

    Parameters
    ----------
    score : ndarray, shape (N,)
        Higher for what is more likely positive; equal scores share a threshold.
    positive : ndarray of bool, shape (N,)
    weights : ndarray, shape (R, N)

    Returns
    -------
    ndarray, shape (R,)
        As `sklearn.metrics.average_precision_score`, for all R weightings at once; 0 without positives.

    Examples
    --------
    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), np.ones((1, 3))).round(3)
    array([0.833])
    """
    if not positive.any():
        return np.zeros(len(weights))
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    weights = weights[:, order]
    taken = np.cumsum(weights, axis=1)[:, ends]
    found = np.cumsum(weights * positive[order], axis=1)[:, ends]
    rises = np.diff(found, axis=1, prepend=0)
    return ratio((rises * found / np.maximum(taken, np.finfo(taken.dtype).tiny)).sum(axis=1), found[:, -1])
