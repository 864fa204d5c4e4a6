"""Is being generated taken for a sign of the rare class? What the nets of each arm call generated images of the others.

Where an arm adds generated images of the rare class alone, its nets may learn that what is generated is rare. They then
call generated images of the other classes rare more often than real ones, and more so than nets that have seen no
generated image. The excess is the share of generated images of other classes that a net calls rare, minus that of real
ones, each the mean over these classes; the shortcut is an arm's excess minus that of the arm original. A net calls what
is most probable after its class prior is taken out, so that an arm in which the rare class is common does not look like
a shortcut.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd

from galaxy_diffusion.shared.names import arm_title, class_title
from galaxy_diffusion.shared.tables import Cell, Table, number
from galaxy_diffusion.study.arms import BASELINE, Run
from galaxy_diffusion.study.bootstrap import Bootstrap, Figures, bootstrap, ratio
from galaxy_diffusion.study.runs import Runs

COLUMNS = ("generated", "real", "excess")


def shortcuts(real: Runs, generated: Runs, rare_class: str, without: Collection[str] = ()) -> pd.DataFrame:
    """The shares that each arm's nets call rare, and the shortcut, with 95 % intervals over images and seeds.

    Parameters
    ----------
    real, generated : Runs
        The same nets' predictions on real test galaxies and on generated images.
    rare_class : str
    without : collection of str
        Arms to leave out: those that have learned from these generated images.

    Returns
    -------
    DataFrame
        Columns backbone, arm, seeds, and for each of generated, real, excess and shortcut the value, NAME_low and
        NAME_high; the shortcut of the arm original is NaN. Empty where original is not among the arms.
    """
    keys = [run for run in generated.probabilities if run in real.probabilities and run.arm not in without]
    k, rare = len(real.class_names), real.class_names.index(rare_class)
    labels = np.concatenate([real.labels, generated.labels + k])
    others = [label for label in np.unique(labels) if label % k != rare]
    called = {key: np.concatenate([most_probable(runs, key) for runs in (real, generated)]) == rare for key in keys}
    figures = [excess(labels, called[key], others, k) for key in keys]
    boot = bootstrap(labels, figures, 2 * k, [key[:2] for key in keys])
    place = {key: i for i, key in enumerate(keys)}
    rows = []
    for i, (backbone, arm) in enumerate(dict.fromkeys(key[:2] for key in keys)):
        trained = generated.trainings(backbone, arm, BASELINE)
        if not trained:
            continue
        ours, theirs = ([place[Run(backbone, name, s, d)] for d, s in trained] for name in (arm, BASELINE))
        draws = [d for d, _ in trained]
        of_generated, of_real, difference = columns(boot[ours].over_trainings(draws, i))
        parts = {"generated": np.clip(of_generated, 0, 1), "real": np.clip(of_real, 0, 1), "excess": difference}
        beyond = columns((boot[ours] - boot[theirs]).over_trainings(draws, i))[-1]
        parts["shortcut"] = (np.nan, np.nan, np.nan) if arm == BASELINE else beyond
        row = {"backbone": backbone, "arm": arm, "seeds": len(trained)}
        rows.append(
            row | {f"{n}{end}": v for n, p in parts.items() for end, v in zip(("", "_low", "_high"), p, strict=True)}
        )
    return pd.DataFrame(rows)


def most_probable(runs: Runs, key: Run) -> np.ndarray:
    """The class of each image if all classes were equally common, int (N,); without a recorded prior, as it is."""
    with np.errstate(divide="ignore"):
        return (np.log(runs.probabilities[key]) - runs.log_priors.get(key, 0.0)).argmax(axis=1)


def excess(labels: np.ndarray, called: np.ndarray, others: list[int], k: int) -> Figures:
    """`COLUMNS` of one run; real classes are labelled 0 to k - 1, the same classes of generated images k to 2 k - 1."""

    def figures(weights: np.ndarray, doubt: np.ndarray) -> np.ndarray:
        shares: tuple[list[np.ndarray], ...] = ([], [])
        for label in others:
            rows = labels == label
            share = ratio((weights[:, rows] * called[rows]).sum(axis=1), weights[:, rows].sum(axis=1))
            if called[rows].all() or not called[rows].any():  # as in `bootstrap.confusion_matrices`
                share = np.abs(share - doubt[:, label])
            shares[label // k].append(share)
        of_real, of_generated = (np.mean(of_classes, axis=0) for of_classes in shares)
        return np.stack([of_generated, of_real, of_generated - of_real], axis=1)

    return figures


def columns(boot: Bootstrap) -> list[tuple[float, float, float]]:
    """Value and ends of each figure."""
    return [(float(v), float(low), float(high)) for v, low, high in zip(boot.value, *boot.interval(), strict=True)]


def shortcut_table(frame: pd.DataFrame, rare_class: str) -> Table:
    """`shortcuts` as a table."""

    def cell(row: pd.Series, name: str, sign: str = "") -> Cell:
        if pd.isna(row[name]):
            return Cell("–")
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        return Cell(f"{row[name]:{sign}.3f}", f"[{low:{sign}.3f}, {high:{sign}.3f}]")

    rows = [
        [
            Cell(row["backbone"]),
            Cell(arm_title(row["arm"])),
            number(row["seeds"]),
            *(cell(row, name) for name in COLUMNS[:2]),
            *(cell(row, name, "+") for name in (COLUMNS[2], "shortcut")),
        ]
        for _, row in frame.iterrows()
    ]
    name = class_title(rare_class).lower()
    notes = [
        f"Share of images of the other classes that the nets call {name} once the class prior is taken out: generated "
        "ones, real test galaxies, their difference, and by how much it exceeds that of the arm original, with 95 % "
        "intervals over images and seeds, not corrected for their number. Above 0, being generated counts as a sign of "
        "the rare class.",
    ]
    heads = ("Backbone", "Arm", "Seeds", "Generated", "Real", "Difference", "Beyond original")
    return Table(f"Are generated images taken for {name} galaxies?", (), heads, rows, notes, frame)
