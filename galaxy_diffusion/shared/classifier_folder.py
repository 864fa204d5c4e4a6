"""The output folder of train_classifier.py: its net, and what the training recorded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from timm import is_model
from transformers import TimmWrapperForImageClassification

from galaxy_diffusion.shared.foreign_config import check_sizes
from gz2_dataset import UserError
from gz2_dataset.class_names import check_class_names
from gz2_dataset.reading import read_json
from gz2_dataset.user_error import in_short

PREDICTIONS = {
    "test": "predictions.csv",
    "validation": "validation_predictions.csv",
    "generated": "generated_predictions.csv",
}
"""Tables of the probabilities of held-out galaxies, and of generated images."""
FILES = (
    *("config.json", "model.safetensors", "preprocessor_config.json", "image_processor.py", *PREDICTIONS.values()),
    *("README.md", "settings.json", "metrics.json", "metrics.jsonl"),
)
"""What belongs to a finished classifier."""


def read_classifier(folder: Path, votes: bool = False) -> TimmWrapperForImageClassification:
    """The net of a finished training, ready to predict.

    Parameters
    ----------
    folder : Path
    votes : bool
        Whether one that predicts votes will do.

    Raises
    ------
    UserError
        If there is none, what there is cannot be one, or it predicts votes instead of classes.
    """
    if not (folder / "model.safetensors").exists():
        raise UserError(f"{folder}: no classifier (no model.safetensors in it); train one with train_classifier.py")
    check_sizes(folder)
    architecture = read_json(folder / "config.json", "train it again").get("architecture")
    if not is_model(str(architecture)):  # a name such as hf-hub:x would be looked for on the Hub
        raise UserError(f"{folder}: timm knows no model {architecture!r}; train one with train_classifier.py")
    try:
        model = TimmWrapperForImageClassification.from_pretrained(folder, use_safetensors=True).eval()
        names = class_names_of(model)
    except Exception as error:  # a folder may hold anything
        raise UserError(f"{folder}: cannot be loaded as a classifier ({in_short(error)}); train it again") from None
    check_class_names(names, str(folder))
    if not votes and predicts_votes(model):
        raise UserError(f"{folder}: predicts votes, not classes; take a classifier trained with --target classes")
    return model


def predicts_votes(model: TimmWrapperForImageClassification) -> bool:
    """Whether its logits are of the answers of volunteers, not of classes."""
    return getattr(model.config, "target", "classes") == "votes"


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
    return read_json(folder / "metrics.json", "train the classifier to the end with train_classifier.py")


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
