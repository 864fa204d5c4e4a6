"""The output folder of train_classifier.py: its net, and what the training recorded."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import TimmWrapperForImageClassification

from gz2_dataset import UserError

PREDICTIONS = {"test": "predictions.csv", "validation": "validation_predictions.csv"}
"""Tables of the probabilities of held-out galaxies."""


def read_classifier(folder: Path) -> TimmWrapperForImageClassification:
    """The net of a finished training, ready to predict.

    Raises
    ------
    UserError
        If there is none.
    """
    if not (folder / "model.safetensors").exists():
        raise UserError(f"{folder}: no classifier (no model.safetensors in it); train one with train_classifier.py")
    return TimmWrapperForImageClassification.from_pretrained(folder, use_safetensors=True).eval()


def class_names_of(model: TimmWrapperForImageClassification) -> tuple[str, ...]:
    """The classes in the order of the logits."""
    names: dict = model.config.id2label or {}
    return tuple(names[i] for i in range(len(names)))


def read_results(folder: Path) -> dict[str, Any]:
    """The metrics.json of a finished training.

    Raises
    ------
    UserError
        If there is none.
    """
    try:
        return json.loads((folder / "metrics.json").read_text())
    except OSError:
        raise UserError(f"{folder}: no metrics.json; train it to the end with train_classifier.py") from None


def read_validation(folder: Path, class_names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, classes) of the validation galaxies of a training, and their labels (N,).

    Raises
    ------
    UserError
        If the training has not written them.
    """
    path = folder / PREDICTIONS["validation"]
    if not path.exists():
        raise UserError(
            f"{path}: no such file, so nothing to calibrate on; train on data with a validation split, or give "
            "--temperature false"
        )
    table = pd.read_csv(path, dtype={"image_id": str, "label": str})
    probabilities = table[[f"p_{name}" for name in class_names]].to_numpy()
    return probabilities, table["label"].map(list(class_names).index).to_numpy()
