"""Is a dataset fit for use? Counts against the paper, unsound images, duplicates, votes that make no sense."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from gz2_dataset.aside import write_whole
from gz2_dataset.audit.counts import count_classes, count_text
from gz2_dataset.audit.crop import check_crop
from gz2_dataset.audit.findings import Audit
from gz2_dataset.audit.images import BuiltRows, check_images, examine, find_duplicates
from gz2_dataset.audit.page import render
from gz2_dataset.audit.votes import check_votes, vote_histograms
from gz2_dataset.build_record import BUILD_FILE, BuildRecord
from gz2_dataset.command_line import UserError
from gz2_dataset.votes import VOTE_COLUMNS

FEW_TEST_GALAXIES = 10
UNBALANCED = 50


def audit(folder: Path, output: Path | None = None) -> Audit:
    """Look at every galaxy of a built dataset, and print what was found.

    Parameters
    ----------
    folder : Path
        A folder that `build` wrote.
    output : Path, optional
        Folder for ``audit.json`` and ``audit.html``, or the name of one of the two files.

    Returns
    -------
    Audit

    Raises
    ------
    UserError
        If the folder holds no built dataset, or one that is damaged.

    Examples
    --------
    >>> audit(Path("data/gz2")).verdict  # doctest: +SKIP
    'fit for use'
    """
    record = BuildRecord.read(folder)
    rows = BuiltRows(folder)
    galaxies, signatures = examine(rows)
    duplicates = find_duplicates(galaxies, signatures)
    votes = galaxies[[column for column in VOTE_COLUMNS if column in galaxies]].astype(float)
    if not galaxies["label"].between(-1, len(record.classes) - 1).all():
        raise UserError(
            f"{folder}: a label is none of the {len(record.classes)} classes of {BUILD_FILE}; build it again"
        )
    labels = np.array([*record.classes, ""], dtype=object)[galaxies["label"]]
    checks = [
        check_counts(galaxies, labels, record),
        check_images(galaxies, duplicates),
        ([], check_crop(galaxies, rows, record)),
        check_votes(votes, labels, record),
    ]
    found = Audit(
        folder=str(folder),
        build=record,
        classes=count_classes(record),
        galaxies=galaxies,
        duplicates=duplicates,
        histograms=vote_histograms(votes, record),
        problems=[line for problems, _ in checks for line in problems],
        warnings=[line for _, warnings in checks for line in warnings],
    )
    print_audit(found)
    if output:
        write(found, rows, output)
    return found


def check_counts(galaxies: pd.DataFrame, labels: np.ndarray, record: BuildRecord) -> tuple[list[str], list[str]]:
    """Whether the splits hold what ``build.json`` says, and enough galaxies of every class.

    Returns
    -------
    problems, warnings : list of str
    """
    problems, warnings = [], []
    held = galaxies.assign(galaxy_class=labels).groupby(["split", "galaxy_class"]).size()
    stated = {(split, name): n for split, classes in record.counts.items() for name, n in classes.items() if n}
    if held.to_dict() != stated:
        problems.append(f"the files do not hold the galaxies that {BUILD_FILE} lists; build again")
    if again := int(galaxies["image_id"].duplicated().sum()):
        problems.append(f"image_ids that appear more than once: {again:,}")
    train = {name: int(held.get(("train", name), 0)) for name in record.classes}
    problems += [f"{name}: no galaxy to train on" for name, n in train.items() if not n]
    for name in record.classes:
        if (n := int(held.get(("test", name), 0))) < FEW_TEST_GALAXIES:
            warnings.append(f"{name}: only {n} test galaxies, too few to judge a classifier by")
    rare, common = min(train, key=train.__getitem__), max(train, key=train.__getitem__)
    if train[common] > UNBALANCED * train[rare] > 0:
        warnings.append(f"{train[common] / train[rare]:.0f} times as many {common} as {rare} to train on")
    return problems, warnings


def print_audit(found: Audit) -> None:
    print(found.build.count_table.to_string())
    if found.build.rules:
        print("\ngalaxies that meet the rule: found here / in the public file of 61,578 rows / in the paper")
        print(count_text(found.classes))
    for kind, lines in (("note", found.build.notes), ("warning", found.warnings), ("problem", found.problems)):
        for line in lines:
            print(f"{kind}: {line}")
    print(f"verdict: {found.verdict}")


def write(found: Audit, rows: BuiltRows, output: Path) -> None:
    """Write ``audit.json`` and ``audit.html``."""
    base = output.with_suffix("") if output.suffix in (".html", ".json") else output / "audit"
    for suffix, text in ((".json", json.dumps(found.to_dict(), indent=2) + "\n"), (".html", render(found, rows))):
        path = base.with_suffix(suffix)
        write_whole(path, text)
        print(f"{suffix[1:]}: {path}")
