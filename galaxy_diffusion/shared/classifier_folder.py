"""The output folder of train_classifier.py: its net, and what the training recorded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from timm import is_model
from transformers import TimmWrapperForImageClassification

from galaxy_diffusion.shared.foreign_config import check_sizes
from gz2_dataset import UserError
from gz2_dataset.class_names import check_class_names
from gz2_dataset.kinds import check_kinds
from gz2_dataset.reading import read_json, read_table
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
RECORDED = {"config": dict[str, Any], "n_train": dict[str, dict[str, int]], "seconds": float, "steps": int | None}
SETTINGS = {"augment_with": str | None, "augment_block": tuple[int, int] | None, "resolution": int | None}
"""Types of what a run records, where it does, and of the settings among it."""


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
    return read_record(folder / "metrics.json", "train the classifier to the end with train_classifier.py")


def read_record(path: Path, remedy: str) -> dict[str, Any]:
    """What a run has recorded, such as a metrics.json, with `RECORDED` and `SETTINGS` of their types.

    Raises
    ------
    UserError
        If it is damaged, or an entry of another type.
    """
    record = read_json(path, remedy)
    check_kinds(record, RECORDED, path, remedy)
    check_kinds(record.get("config", {}), SETTINGS, path, remedy)
    return record


def read_quality(folder: Path) -> int | None:
    """The JPEG quality of the images that a training saw, as its preprocessor_config.json says; None if it does not."""
    file = folder / "preprocessor_config.json"
    jpeg = read_json(file, "train it again").get("jpeg") if file.exists() else None
    quality = jpeg.get("quality") if isinstance(jpeg, dict) else None
    return quality if isinstance(quality, int) and 1 <= quality <= 100 else None


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
    columns = [f"p_{name}" for name in class_names]
    table = read_table(path, "train it again", ("image_id", "label", *columns), "p_.*")
    if unknown := set(table["label"]) - set(class_names):
        raise UserError(f"{path}: {min(unknown)!r} is no class of the classifier; train it again")
    return table[columns].to_numpy(), table["label"].map(list(class_names).index).to_numpy()
