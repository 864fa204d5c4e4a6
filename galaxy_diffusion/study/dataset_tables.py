"""The paper's Tables 1 and 2 with the numbers of this study, and what its runs recorded."""

import pandas as pd

from galaxy_diffusion.shared.names import class_title
from galaxy_diffusion.shared.tables import Cell, Table, number
from galaxy_diffusion.study.folder import GENERATED
from galaxy_diffusion.study.paper import TEST_PER_CLASS, TRAINING
from gz2_dataset import RULES
from gz2_dataset.build_record import BuildRecord

PAPER = ("paper_train", "paper_augmented_train", "paper_test")
"""Columns of Table 2 with the paper's counts."""


def selection(build: BuildRecord) -> Table:
    """Table 1: the morphology rules and how many clean samples they find."""
    here = build.per_class()
    paper = RULES if of_the_paper(build) else ()
    rules = {rule.galaxy_class: rule for rule in (paper if build.rules is None else build.rules)}
    records = []
    for name in build.classes:
        rule = rules.get(name)
        conditions = rule.conditions if rule else ()
        records.append(
            {
                "galaxy_class": name,
                "tasks": ", ".join(c.task for c in conditions),
                "threshold": " and ".join(f"{c.quantity} ≥ {c.threshold:.3f}" for c in conditions),
                "paper": rule.paper_count if rule else None,
                "public_labels": rule.expected_count if rule else None,
                "here": here[name],
            }
        )
    frame = pd.DataFrame(records)
    counts = {"paper": "Paper", "public_labels": "Public labels"} if of_the_paper(build) else {}
    counts |= {"here": "Here"}
    rows = [
        [Cell(class_title(r["galaxy_class"])), Cell(r["tasks"] or "–"), Cell(r["threshold"] or "–")]
        + [number(r[column]) for column in counts]
        for r in records
    ]
    notes = []
    if "paper" in counts:
        notes.append(
            "Public labels: what the rules count among the 61,578 galaxies of the public file. The first rule met "
            "decides."
        )
    if build.rules is None:
        source = build.source.replace("_", " ")
        notes.append(f"The source ({source}) has no votes: the classes are the source's, the rules were not applied.")
    caption = "Table 1. Selection rules and clean samples"
    groups = (("", 3), ("Clean samples", len(counts)))
    return Table(caption, groups, ("Class", "Tasks", "Threshold", *counts.values()), rows, notes, frame)


def of_the_paper(build: BuildRecord) -> bool:
    """Whether a dataset has all of the paper's classes, so that its counts can stand beside them."""
    return set(TRAINING) <= set(build.classes)


def composition(build: BuildRecord, generated: dict[str, dict[str, int]]) -> Table:
    """Table 2: galaxies per class and split, and the generated images of each folder."""
    counts = build.counts
    records = []
    for name in build.classes:
        train, validation, test = (counts.get(split, {}).get(name, 0) for split in ("train", "validation", "test"))
        added = [of_class.get(name, 0) for of_class in generated.values()]
        augmented = train + generated.get(GENERATED, {}).get(name, 0)
        paper = TRAINING.get(name, (None, None))
        records.append((name, train, validation, test, *added, augmented, *paper, TEST_PER_CLASS if paper[0] else None))
    names = ("train", "validation", "test", *generated, "augmented_train")
    columns = ("galaxy_class", *names, *PAPER)
    shown = len(columns) if of_the_paper(build) else -len(PAPER)
    frame = pd.DataFrame(records, columns=columns).iloc[:, :shown]
    rows = [[Cell(class_title(record[0])), *map(number, record[1:shown])] for record in records]
    totals = frame.iloc[:, 1:].sum(min_count=1)
    rows.append([Cell("Sum", bold=True), *map(number, totals)])
    notes, papers = [], 0
    if of_the_paper(build):
        notes, papers = ["The paper's columns are on its own, larger data; it has no validation split."], len(PAPER)
    if unlabelled := sum(counts.get("unlabelled", {}).values()):
        notes.append(f"{unlabelled:,} more galaxies without a class were available to the generator.")
    if not generated:
        notes.append("No generated images yet, so both training sets are the same.")
    groups = (("", 1), ("Real", 3), ("Generated, by folder", len(generated)), ("+ diffusion", 1), ("Paper", papers))
    folders = (name.replace("_", " ").capitalize() for name in generated)
    heads = ("Training", "Validation", "Test", *folders, "Training", *("Training", "Augmented", "Test")[:papers])
    shown_groups = tuple(group for group in groups if group[1])
    caption = "Table 2. Composition of the datasets"
    return Table(caption, shown_groups, ("Class", *heads), rows, [*notes, *build.notes], frame)


def run_records(provenance: dict[str, dict]) -> Table:
    """What each run recorded, by its folder."""
    rows = []
    for name, record in provenance.items():
        seconds, seed = record.get("seconds"), record.get("config", {}).get("seed")
        time = Cell(duration(seconds) if seconds else "–")
        rows.append(
            [Cell(name), number(seed), number(record.get("images_seen")), time, Cell(record.get("platform", "–"))]
        )
    columns = ("Run", "Seed", "Images seen", "Time", "Platform")
    return Table("Runs", (), columns, rows)


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds, as people write them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
