"""What a classifier of classes learns, how it is judged, and what it writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from transformers import EvalPrediction

from galaxy_diffusion.classifiers.card import ORIGIN_TITLES, classifier_card
from galaxy_diffusion.classifiers.loss import ClassificationLoss
from galaxy_diffusion.classifiers.metric import GalaxyClassification
from gz2_dataset import GalaxyArrays
from gz2_dataset.aside import written_aside


class ClassTask:
    """The class of each galaxy.

    Parameters
    ----------
    class_names : tuple of str
    loss : ClassificationLoss

    Attributes
    ----------
    names : tuple of str
        Of the net's outputs.
    best : str
        The figure of the validation split that early stopping watches, and whether more of it is better.
    """

    best = ("f1", True)

    def __init__(self, class_names: tuple[str, ...], loss: ClassificationLoss):
        self.names, self.loss = class_names, loss
        self.metric = GalaxyClassification(keep_in_memory=True)

    def targets(self, galaxies: GalaxyArrays) -> np.ndarray:
        """What is learned of each galaxy: the index of its class, shape (N,)."""
        return galaxies.labels

    def figures(self, outcome: EvalPrediction) -> dict[str, float]:
        """Accuracy and macro averages, for `Trainer`."""
        found = self.measured(outcome.predictions, outcome.label_ids)  # pyright: ignore[reportArgumentType]
        return {"accuracy": found["accuracy"], **found["macro"]}

    def results(self, test: GalaxyArrays, logits: np.ndarray, parts: Mapping[str, Any]) -> dict[str, Any]:
        """What metrics.json says of the test split and, class by class, of the training images by origin."""
        counts = {name: part.counts for name, part in parts.items()}
        n_train = {
            class_name: {name: int(counts[name][i]) if name in counts else 0 for name in ORIGIN_TITLES}
            for i, class_name in enumerate(self.names)
        }
        return {**self.measured(logits, test.labels), "n_train": n_train}

    def measured(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        return self.metric.compute(predictions=logits.argmax(axis=1), references=labels, class_names=self.names)

    def save_predictions(self, path: Path, galaxies: GalaxyArrays, logits: np.ndarray) -> None:
        """Write the table that all statistics are computed from.

        Parameters
        ----------
        path : Path
            CSV with image_id, label, prediction and one column ``p_CLASS`` per class.
        galaxies : GalaxyArrays
            Of a split that was held out.
        logits : ndarray, shape (N, classes)
        """
        probabilities = softmax(logits.astype(np.float64), axis=1)
        names = np.array(self.names)
        table = pd.DataFrame(
            {
                "image_id": galaxies.image_ids,
                "label": names[galaxies.labels],
                "prediction": names[probabilities.argmax(axis=1)],
            }
        )
        table[[f"p_{name}" for name in names]] = probabilities
        with written_aside(path) as aside:
            table.to_csv(aside, index=False)

    def card(self, name: str, results: dict[str, Any]) -> str:
        return classifier_card(name, results)

    def summary(self, results: dict[str, Any]) -> str:
        """One line for the terminal."""
        return f"accuracy {results['accuracy']:.3f}, macro F1 {results['macro']['f1']:.3f}"
