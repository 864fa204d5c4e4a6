"""A study folder as `workflow/Snakefile` writes it: what is there, read once; what is not there yet stays empty."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from gz2_dataset import UserError

ARMS = ("original", "augmented")
PARTS = ("study.yaml", "data", "ddpm", "generated", "showcase", "classifiers")
TITLES = {"cigar_shaped_smooth": "Cigar-shaped smooth", "in_between_smooth": "In-between smooth", "edge_on": "Edge-on"}


def title(class_name: str) -> str:
    """A class name as the paper's tables print it."""
    return TITLES.get(class_name, class_name.replace("_", " ").capitalize())


@dataclass(frozen=True)
class Runs:
    """Predictions of one backbone's runs on the same test galaxies, in the order of image_id.

    Attributes
    ----------
    class_names : tuple of str
    labels : ndarray of int, shape (N,)
        True classes, indices into ``class_names``.
    arms : tuple of str
        Those of `ARMS` that have runs.
    seeds : tuple of int
        Seeds that every arm has, in order.
    predictions : ndarray of int, shape (arms, seeds, N)
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    predictions: np.ndarray

    @property
    def galaxies_per_class(self) -> np.ndarray:
        """Test galaxies a true class, shape (classes,)."""
        return np.bincount(self.labels, minlength=len(self.class_names))


@dataclass(frozen=True)
class Study:
    """What a report is made of.

    Attributes
    ----------
    folder : Path
    preset : dict
        ``study.yaml``.
    build : dict
        ``data/build.json``: source, classes, counts, notes.
    generated : dict
        Images added to the training set by class name.
    backbones : dict
        `Runs` by name of the backbone.
    provenance : dict
        What each run recorded (config, versions, seconds, ...) by its folder within the study.
    training : list of dict
        Lines of ``ddpm/metrics.jsonl``.
    """

    folder: Path
    preset: dict[str, Any]
    build: dict[str, Any]
    generated: dict[str, int]
    backbones: dict[str, Runs]
    provenance: dict[str, dict[str, Any]]
    training: list[dict[str, Any]]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of the data, or of the predictions where there is no data folder."""
        runs = next(iter(self.backbones.values()), None)
        return tuple(self.build.get("classes") or (runs.class_names if runs else ()))

    @property
    def rare_class(self) -> str | None:
        """The class with most generated images, else the smallest of the training set, else of the test set."""
        if self.generated:
            return max(self.generated, key=self.generated.get)
        if train := self.build.get("counts", {}).get("train"):
            return min(train, key=train.get)
        runs = next(iter(self.backbones.values()), None)
        return runs.class_names[int(runs.galaxies_per_class.argmin())] if runs else None


def read_study(folder: Path) -> Study:
    """Read what a study folder holds.

    Raises
    ------
    UserError
        Where the folder is no study or one of its files is damaged.

    Examples
    --------
    >>> read_study(Path("runs/study")).rare_class  # doctest: +SKIP
    'cigar_shaped_smooth'
    """
    if not any((folder / part).exists() for part in PARTS):
        raise UserError(f"{folder}: no study (none of {', '.join(PARTS)} in it); make one with make study CONFIG=...")
    file = folder / "study.yaml"
    preset = (yaml.safe_load(file.read_text()) or {}) if file.exists() else {}
    order = list(preset.get("classifiers", ()))
    found = sorted(p for p in (folder / "classifiers").glob("*") if any(p.glob("*/seed*/predictions.csv")))
    found.sort(key=lambda p: order.index(p.name) if p.name in order else len(order))
    makers = [folder / part / "run.json" for part in ("ddpm", "generated", "showcase")]
    records = [*makers, *sorted(folder.glob("classifiers/*/*/seed*/metrics.json"))]
    return Study(
        folder,
        preset,
        read_json(folder / "data" / "build.json"),
        dict(Counter(row["label"] for row in read_lines(folder / "generated" / "metadata.jsonl"))),
        {p.name: read_runs(p) for p in found},
        {str(p.parent.relative_to(folder)): record for p in records if (record := read_json(p))},
        list(read_lines(folder / "ddpm" / "metrics.jsonl")),
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file; empty where there is none."""
    return next(read_lines(path, whole=True), {})


def read_lines(path: Path, whole: bool = False) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file (``whole``: its only object); none where there is no file."""
    try:
        text = path.read_text() if path.exists() else ""
        for line in [text] if whole and text else text.splitlines():
            yield json.loads(line)
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); remove it and run the step that writes it again") from None


def first_by_seed(folder: Path, class_names: tuple[str, ...], per_class: int) -> np.ndarray | None:
    """The generated images of each class with the smallest seeds.

    Parameters
    ----------
    folder : Path
        Generated-images folder with ``metadata.jsonl``.
    class_names : tuple of str
    per_class : int
        Images wanted; fewer where a class has fewer.

    Returns
    -------
    ndarray of uint8, shape (classes, images, H, W, 3), or None
        None where a class has no image.
    """
    rows = sorted(read_lines(folder / "metadata.jsonl"), key=lambda row: row["seed"])
    files = [[folder / row["file_name"] for row in rows if row["label"] == name] for name in class_names]
    count = min(per_class, *map(len, files)) if files else 0
    if count == 0:
        return None
    try:
        return np.stack([[np.asarray(Image.open(file).convert("RGB")) for file in row[:count]] for row in files])
    except OSError as error:
        raise UserError(f"{folder}: an image cannot be read ({error}); generate it again") from None


def read_runs(folder: Path) -> Runs:
    """Read ``<folder>/<arm>/seed<k>/predictions.csv`` of one backbone.

    Parameters
    ----------
    folder : Path
        ``STUDY/classifiers/<backbone>``.

    Raises
    ------
    UserError
        Where a file cannot be read as predictions, arms have no seed in common, or runs were tested on other galaxies.
    """
    files = {(p.parts[-3], int(p.parts[-2][4:])): p for p in sorted(folder.glob("*/seed[0-9]*/predictions.csv"))}
    arms = tuple(arm for arm in ARMS if any(arm == a for a, _ in files))
    if not arms:
        raise UserError(f"{folder}: no original/seed0/predictions.csv or the like; run train_classifier.py first")
    seeds = sorted(set.intersection(*({seed for a, seed in files if a == arm} for arm in arms)))
    if not seeds:
        raise UserError(f"{folder}: the arms have no seed in common; train original and augmented with the same seeds")
    tables = [read_predictions(files[arm, seed]) for arm in arms for seed in seeds]
    first = tables[0]
    for table in tables[1:]:
        if not first["label"].equals(table["label"]) or list(first.columns) != list(table.columns):
            raise UserError(
                f"{table.attrs['file']}: other galaxies or classes than in {first.attrs['file']}; only runs on the "
                "same test split can be paired, so train both arms on one dataset"
            )
    class_names = tuple(c.removeprefix("p_") for c in first.columns if c.startswith("p_"))
    index = {name: i for i, name in enumerate(class_names)}
    predictions = np.stack([table["prediction"].map(index).to_numpy() for table in tables])
    return Runs(
        class_names,
        first["label"].map(index).to_numpy(),
        arms,
        tuple(seeds),
        predictions.reshape(len(arms), len(seeds), -1),
    )


def read_predictions(path: Path) -> pd.DataFrame:
    """One ``predictions.csv``, indexed by image_id and sorted by it; its path is in ``attrs["file"]``."""
    try:
        table = pd.read_csv(path, dtype={"image_id": str, "label": str, "prediction": str}, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run train_classifier.py again") from None
    if missing := {"image_id", "label", "prediction"} - set(table.columns):
        raise UserError(f"{path}: no column {sorted(missing)[0]}; run train_classifier.py again")
    names = [c.removeprefix("p_") for c in table.columns if c.startswith("p_")]
    if table.empty or table["image_id"].duplicated().any():
        raise UserError(f"{path}: no galaxy or one galaxy twice; run train_classifier.py again")
    if unknown := {*table["label"], *table["prediction"]} - set(names):
        raise UserError(f"{path}: no probability column of class {sorted(unknown)[0]!r}; run train_classifier.py again")
    table = table.set_index("image_id").sort_index()
    table.attrs["file"] = str(path)
    return table
