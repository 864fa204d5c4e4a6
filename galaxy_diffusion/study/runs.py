"""Predictions of a study's classifiers on the same test galaxies, also pooled over several folds or draws."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from galaxy_diffusion.shared.class_prior import log_class_shares
from galaxy_diffusion.shared.classifier_folder import read_record
from galaxy_diffusion.study.arms import BASELINE, Run
from gz2_dataset import UserError
from gz2_dataset.reading import read_table

AGAIN = "remove it and run the step that writes it again"
"""The remedy for a damaged file of a study."""


@dataclass(frozen=True)
class Runs:
    """Runs on the same N test galaxies, in the order of image_id.

    Attributes
    ----------
    class_names : tuple of str
    labels : ndarray of int, shape (N,)
        True classes, indices into ``class_names``.
    probabilities : dict
        By `Run`, in the order in which backbones and arms are shown: ndarray, shape (N, classes).
    log_priors : dict
        By `Run`, if it recorded them: `class_prior.log_class_shares` of the net that classified each galaxy, ndarray,
        shape (N, classes).
    image_ids : tuple of str
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    probabilities: dict[Run, np.ndarray]
    log_priors: dict[Run, np.ndarray] = field(default_factory=dict)
    image_ids: tuple[str, ...] = ()

    @property
    def galaxies_per_class(self) -> np.ndarray:
        """Test galaxies per true class, shape (classes,)."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    @property
    def backbones(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run.backbone for run in self.probabilities))

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run.arm for run in self.probabilities))

    @property
    def draws(self) -> int:
        """Studies with other training galaxies, and generators of their own, that are draws of one."""
        return len({run.draw for run in self.probabilities})

    def trainings(self, backbone: str, *arms: str) -> list[tuple[int, int]]:
        """Pairs of draw and seed that a backbone was trained with in all of the arms."""
        sets = ({(run.draw, run.seed) for run in self.probabilities if run[:2] == (backbone, arm)} for arm in arms)
        return sorted(set.intersection(*sets))

    def predictions(self, backbone: str, arm: str) -> np.ndarray:
        """The most probable class of each galaxy, int (trainings, N)."""
        runs = [Run(backbone, arm, seed, draw) for draw, seed in self.trainings(backbone, arm)]
        return np.stack([self.probabilities[run].argmax(axis=1) for run in runs])


def read_runs(folder: Path, planned: Sequence[Run] = (), file: str = "predictions.csv") -> Runs | None:
    """Read ``<folder>/<backbone>/<arm>/seed<k>/predictions.csv`` of a study.

    Parameters
    ----------
    folder : Path
        ``STUDY/classifiers``.
    planned : sequence of Run
        Determines the order of backbones and arms; others follow by name, and the original arm comes first.
    file : str
        Name of the tables; generated_predictions.csv has what the nets say of generated images.

    Returns
    -------
    Runs or None
        None where nothing has been trained yet.

    Raises
    ------
    UserError
        If a file cannot be read as predictions, or runs were tested on different galaxies.
    """
    orders = [list(dict.fromkeys(run[i] for run in planned)) for i in range(2)]
    found = {}
    for path in folder.glob(f"*/*/seed[0-9]*/{file}"):
        backbone, arm, seed = path.parts[-4:-1]
        if seed.removeprefix("seed").isdecimal():  # not a copy that somebody has made
            found[Run(backbone, arm, int(seed.removeprefix("seed")))] = path

    def place(run: Run) -> tuple:
        ranks = [order.index(name) if name in order else len(order) for order, name in zip(orders, run, strict=False)]
        return ranks[0], run.backbone, run.arm != BASELINE, ranks[1], run.arm, run.seed

    tables = {run: read_predictions(found[run]) for run in sorted(found, key=place)}
    if not tables:
        return None
    first = next(iter(tables.values()))
    for table in tables.values():
        if not first["label"].equals(table["label"]) or list(first.columns) != list(table.columns):
            raise UserError(
                f"{table.attrs['file']}: not the galaxies and classes of {first.attrs['file']}; only runs on the "
                "same test split can be paired, so train all arms on one dataset"
            )
    columns = [column for column in first.columns if column.startswith("p_")]
    names = [column.removeprefix("p_") for column in columns]
    priors = {run: read_prior(found[run].with_name("metrics.json"), names) for run in tables}
    return Runs(
        tuple(names),
        first["label"].map(names.index).to_numpy(),
        {run: table[columns].to_numpy(float) for run, table in tables.items()},
        {run: np.tile(prior, (len(first), 1)) for run, prior in priors.items() if prior is not None},
        tuple(first.index),
    )


def read_predictions(path: Path) -> pd.DataFrame:
    """One ``predictions.csv``, indexed by image_id and sorted by it; its path is in ``attrs["file"]``."""
    table = read_table(path, "run train_classifier.py again", ("image_id", "label", "prediction"), "p_.*")
    names = [c.removeprefix("p_") for c in table.columns if c.startswith("p_")]
    if table.empty or table["image_id"].duplicated().any():
        raise UserError(f"{path}: has no galaxy, or one galaxy twice; run train_classifier.py again")
    if unknown := {*table["label"], *table["prediction"]} - set(names):
        raise UserError(f"{path}: no probability column of class {sorted(unknown)[0]!r}; run train_classifier.py again")
    table = table.set_index("image_id").sort_index()
    table.attrs["file"] = str(path)
    return table


def read_prior(path: Path, class_names: Sequence[str]) -> np.ndarray | None:
    """How common the classes were in the training that wrote this metrics.json; None where it does not say."""
    return log_class_shares(read_record(path, AGAIN), class_names) if path.exists() else None


def pool(folders: Sequence[Path], folds: Sequence[Runs | None]) -> Runs | None:
    """The runs of several studies as those of one: folds, or draws of a class made rare.

    Folds test different galaxies: a pooled run consists of the runs of its backbone, arm and seed in every fold, each
    on its own galaxies. Draws all test the same galaxies, and their runs stand side by side.

    Raises
    ------
    UserError
        If studies differ in their classes, share some but not all of their test galaxies, or one lacks a run that
        another has.
    """
    first_folder, first, others = folders[0], folds[0], list(zip(folders[1:], folds[1:], strict=True))
    for folder, runs in others:
        if first is None or runs is None:
            raise UserError(f"{first_folder if first is None else folder}: no classifier yet; train every fold's first")
        if runs.class_names != first.class_names:
            raise UserError(f"{folder}: not the classes of {first_folder}; only folds of one dataset can be pooled")
        for lacking, missing in (
            (folder, first.probabilities.keys() - runs.probabilities.keys()),
            (first_folder, runs.probabilities.keys() - first.probabilities.keys()),
        ):
            if missing:
                raise UserError(f"{lacking}: no run {min(missing).path}, which another fold has; train it first")
    if first is None or not others:
        return first
    folds = [runs for runs in folds if runs is not None]
    if first.image_ids and all(runs.image_ids == first.image_ids for runs in folds):
        if any((runs.labels != first.labels).any() for runs in folds):
            raise UserError(f"{', '.join(map(str, folders))}: a test galaxy has two classes; pool draws of one dataset")
        probabilities, priors = (
            {run._replace(draw=draw): rows for draw, of_draw in enumerate(parts) for run, rows in of_draw.items()}
            for parts in ([runs.probabilities for runs in folds], [runs.log_priors for runs in folds])
        )
        return Runs(first.class_names, first.labels, probabilities, priors, first.image_ids)
    image_ids = tuple(image_id for runs in folds for image_id in runs.image_ids)
    if len(set(image_ids)) < len(image_ids):
        raise UserError(
            f"{', '.join(map(str, folders))}: a test galaxy is in two of them, but not all are; pool folds or draws of "
            "one dataset"
        )
    return Runs(
        first.class_names,
        np.concatenate([runs.labels for runs in folds]),
        {run: np.concatenate([runs.probabilities[run] for runs in folds]) for run in first.probabilities},
        {
            run: np.concatenate([runs.log_priors[run] for runs in folds])
            for run in first.probabilities
            if all(run in runs.log_priors for runs in folds)
        },
        image_ids,
    )
