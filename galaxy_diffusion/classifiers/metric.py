"""Precision, recall and F1 of each class and their macro averages, as an `evaluate` metric that needs no Hub."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, precision_recall_fscore_support


class GalaxyClassification(evaluate.Metric):
    """Accuracy, and precision, recall and F1 per class and macro-averaged.

    With TP, FP and FN the true positives, false positives and false negatives of a class, precision is TP / (TP + FP),
    recall TP / (TP + FN) and F1 their harmonic mean. A macro figure is the plain mean over *all* classes, regardless of
    their size. A figure whose denominator is 0 (precision of a class that is never predicted, recall of a class without
    galaxies) is 0, without a warning, and counts as 0 in the macro figure.

    Being an `evaluate.Metric`, it accumulates with ``add_batch`` and, made with ``num_process``, ``process_id`` and
    ``experiment_id``, over processes; then ``compute`` returns None on all processes but the first.

    Examples
    --------
    >>> metric = GalaxyClassification(keep_in_memory=True)
    >>> results = metric.compute(predictions=[0, 0, 1], references=[0, 1, 1], class_names=["round", "spiral"])
    >>> results["per_class"]["round"]
    {'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666, 'n': 1}
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Accuracy, and precision, recall and F1 per class and macro-averaged.",
            citation="",
            inputs_description="predictions, references: class indices; class_names: name of each index.",
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions: Any, references: Any, class_names: Sequence[str]) -> dict[str, Any]:
        """Figures of the accumulated labels.

        Parameters
        ----------
        predictions, references : array_like of int, shape (N,)
            Predicted and true class indices.
        class_names : sequence of str
            Name of each class index.

        Returns
        -------
        dict
            ``{"macro": {"precision", "recall", "f1"}, "accuracy", "per_class": {name: {"precision", "recall", "f1",
            "n"}}}`` with plain floats in [0, 1] and, as ``n``, the number of references of the class.

        Raises
        ------
        ValueError
            If an index has no class name.
        """
        predictions, references = np.asarray(predictions), np.asarray(references)
        indices = np.arange(len(class_names))
        if unknown := sorted({*predictions.tolist(), *references.tolist()} - set(indices.tolist())):
            raise ValueError(f"label {unknown[0]} is not one of the {len(class_names)} classes")
        names = ("precision", "recall", "f1")
        *figures, counts = precision_recall_fscore_support(references, predictions, labels=indices, zero_division=0)
        return {
            "macro": {name: float(figure.mean()) for name, figure in zip(names, figures, strict=True)},
            "accuracy": float(accuracy_score(references, predictions)),
            "per_class": {
                class_name: {name: float(f[i]) for name, f in zip(names, figures, strict=True)} | {"n": int(counts[i])}
                for i, class_name in enumerate(class_names)
            },
        }
