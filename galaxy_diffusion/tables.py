"""The paper's Tables 1 to 4 as this study finds them: full precision for CSV, rounded cells for Markdown and HTML."""

from dataclasses import dataclass, field
from itertools import accumulate

import pandas as pd

from galaxy_diffusion.comparison import adjusted, excludes_zero
from galaxy_diffusion.paper import MACRO, PER_CLASS, TEST_PER_CLASS, TRAINING
from galaxy_diffusion.statistics import METRICS
from galaxy_diffusion.study import ARMS, title
from gz2_dataset import RULES
from gz2_dataset.rules import rule_of

METRIC_TITLES = ("Precision", "Recall", "F1")


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes
    ----------
    text : str
    interval : str
        Its 95 % interval, set smaller.
    bold : bool
    tone : str
        better, worse or empty.
    """

    text: str
    interval: str = ""
    bold: bool = False
    tone: str = ""

    @property
    def markdown(self) -> str:
        text = f"**{self.text}**" if self.bold else self.text
        return f"{text} {self.interval}".strip()


@dataclass(frozen=True)
class Table:
    """A table to read, and the frame behind it.

    Attributes
    ----------
    caption : str
    groups : tuple of (str, int)
        Titles above the columns and how many columns each spans; an empty title for none.
    columns : tuple of str
    rows : list of list of Cell
    notes : list of str
    frame : DataFrame or None
        Full precision, for CSV.
    blocks : bool
        Rows whose first cells are equal form a block under that cell.
    """

    caption: str
    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)
    frame: pd.DataFrame | None = None
    blocks: bool = False

    @property
    def text_columns(self) -> int:
        """Columns at the left that hold words."""
        return sum(column in ("Class", "Tasks", "Threshold", "Backbone", "Run") for column in self.columns)

    @property
    def starts(self) -> list[int]:
        """Columns at which a titled group begins."""
        positions = accumulate((span for _, span in self.groups), initial=0)
        return [start for start, (name, _) in zip(positions, self.groups, strict=False) if name]

    @property
    def markdown(self) -> str:
        above = [name for name, span in self.groups for _ in range(span)] or [""] * len(self.columns)
        header = [f"{group}: {column}" if group else column for group, column in zip(above, self.columns, strict=True)]
        lines = [header, ["---"] * len(header), *([cell.markdown for cell in row] for row in self.rows)]
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"### {self.caption}\n\n{text}\n" + "".join(f"\n- {note}" for note in self.notes) + "\n"


def number(value: float | None) -> Cell:
    return Cell("–" if value is None or pd.isna(value) else f"{int(value):,}")


def selection(build: dict) -> Table:
    """Table 1: the morphology rules and how many clean samples they find."""
    voted = build["rules"] is not None
    here = pd.DataFrame(build["counts"]).sum(axis=1)
    rules = {rule.galaxy_class: rule for rule in (map(rule_of, build["rules"]) if voted else RULES)}
    records = []
    for name in build["classes"]:
        rule = rules.get(name)
        conditions = rule.conditions if rule else ()
        records.append(
            {
                "galaxy_class": name,
                "tasks": ", ".join(c.task for c in conditions),
                "threshold": " and ".join(f"{c.quantity} ≥ {c.threshold:.3f}" for c in conditions),
                "paper": rule.paper_count if rule else None,
                "public_labels": rule.expected_count if rule else None,
                "here": int(here.get(name, 0)),
            }
        )
    frame = pd.DataFrame(records)
    rows = [
        [Cell(title(r["galaxy_class"])), Cell(r["tasks"] or "–"), Cell(r["threshold"] or "–")]
        + [number(r[column]) for column in ("paper", "public_labels", "here")]
        for r in records
    ]
    notes = [
        "Public labels: what the rules count among the 61,578 galaxies of the public file. The first rule met counts."
    ]
    if not voted:
        source = build["source"].replace("_", " ")
        notes.append(
            f"The source here is a {source} without votes: the classes are its own, the rules were not applied."
        )
    caption = "Table 1. Selection rules and clean samples"
    groups, columns = (("", 3), ("Clean samples", 3)), ("Class", "Tasks", "Threshold", "Paper", "Public labels", "Here")
    return Table(caption, groups, columns, rows, notes, frame)


def composition(build: dict, generated: dict[str, int]) -> Table:
    """Table 2: galaxies a class and split, original and augmented."""
    counts = build["counts"]
    records = []
    for name in build["classes"]:
        train, validation, test = (counts.get(split, {}).get(name, 0) for split in ("train", "validation", "test"))
        added = generated.get(name, 0)
        paper = TRAINING.get(name, (None, None))
        row = (name, train, validation, test, added, train + added, test, *paper, TEST_PER_CLASS if paper[0] else None)
        records.append(row)
    names = ("train", "validation", "test", "generated", "augmented_train", "augmented_test")
    columns = ("galaxy_class", *names, "paper_train", "paper_augmented_train", "paper_test")
    frame = pd.DataFrame(records, columns=columns)
    rows = [[Cell(title(record[0])), *map(number, record[1:])] for record in records]
    totals = frame.drop(columns="galaxy_class").sum(min_count=1)
    rows.append([Cell("Sum", bold=True), *map(number, totals)])
    notes = ["The paper's columns are on its own, larger data; it has no validation split."]
    if unlabelled := sum(counts.get("unlabelled", {}).values()):
        notes.append(f"{unlabelled:,} more galaxies without a class were at hand for the generator.")
    if not generated:
        notes.append("No generated images yet, so both training sets are the same.")
    groups = (("", 1), ("Original", 3), ("Augmented", 3), ("Paper", 3))
    heads = ("Training", "Validation", "Test", "Generated", "Training", "Test", "Training", "Augmented", "Test")
    caption = "Table 2. Composition of the datasets"
    return Table(caption, groups, ("Class", *heads), rows, notes + build.get("notes", []), frame)


def figure_cells(rows: pd.DataFrame) -> list[Cell]:
    """Cells of precision, recall and F1 for original, augmented and difference, the better arm in bold."""
    rows = rows.set_index("metric").loc[list(METRICS)]
    cells = []
    for arm, other in (ARMS, ARMS[::-1]):
        for r in rows.to_dict("records"):
            absent = pd.isna(r[arm])
            interval = "" if absent else f"[{r[f'{arm}_low']:.2f}, {r[f'{arm}_high']:.2f}]"
            cells.append(Cell("–" if absent else f"{r[arm]:.3f}", interval, bold=bool(r[arm] > r[other])))
    return cells + [difference_cell(r) for _, r in rows.iterrows()]


def difference_cell(row: pd.Series) -> Cell:
    if pd.isna(row["difference"]):
        return Cell("–")
    excluded = row["difference_low"] > 0 or row["difference_high"] < 0
    tone = ("better" if row["difference"] > 0 else "worse") if excluded else ""
    mark = {"better": " ▲", "worse": " ▼", "": ""}[tone] + ("*" if row["p_holm"] < 0.05 else "")
    interval = f"[{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]"
    return Cell(f"{row['difference']:+.3f}{mark}", interval, tone=tone)


GROUPS = (("Original", 3), ("Augmented", 3), ("Augmented − original", 3))


def interval_notes(frame: pd.DataFrame) -> list[str]:
    """How the figures are to be read, and how many of the differences stand out."""
    differences = frame["difference"].notna().sum()
    excluded, corrected = excludes_zero(frame).sum(), (frame["p_holm"] < 0.05).sum()
    lines = [
        "In brackets: 95 % bootstrap intervals over test galaxies and seeds; differences are paired on the same ones.",
        "Bold: the higher of the two arms, as in the paper, whether or not the difference means anything.",
    ]
    if differences:
        lines.append(
            f"▲ ▼: the interval of the difference excludes 0, in {excluded} of {differences} comparisons; chance alone "
            f"gives about {0.05 * differences:.1f}. *: p < 0.05 after Holm's correction for all of them: {corrected}."
        )
    return lines


def per_class(figures: pd.DataFrame) -> Table:
    """Table 3: precision, recall and F1 of each class, from `comparison.compare`."""
    frame = figures[~figures["galaxy_class"].isin(["macro", "all"])].drop(columns=["gained", "lost", "mcnemar_p"])
    frame = frame.assign(p_holm=adjusted(frame["p"]), excludes_zero=excludes_zero(frame))
    rows = []
    for backbone, group in frame.groupby("backbone", sort=False):
        for name, of_class in group.groupby("galaxy_class", sort=False):
            rows.append([Cell(backbone), Cell(title(name)), number(of_class["n"].iloc[0]), *figure_cells(of_class)])
    columns = ("Backbone", "Class", "n", *METRIC_TITLES * 3)
    groups = (("", 3), *GROUPS)
    return Table("Table 3. Figures of each class", groups, columns, rows, interval_notes(frame), frame, blocks=True)


def macro(figures: pd.DataFrame) -> Table:
    """Table 4: macro figures and McNemar's test of each backbone, from `comparison.compare`."""
    frame = figures[figures["galaxy_class"].isin(["macro", "all"])].copy()
    averages = frame["galaxy_class"] == "macro"
    frame["p_holm"] = adjusted(frame.loc[averages, "p"]).reindex(frame.index)
    frame["mcnemar_p_holm"] = adjusted(frame["mcnemar_p"])
    frame["excludes_zero"] = excludes_zero(frame)
    rows = []
    for backbone, group in frame.groupby("backbone", sort=False):
        accuracy = group[group["metric"] == "accuracy"].iloc[0]
        tested = not pd.isna(accuracy["mcnemar_p"])
        test = [f"{accuracy['gained']:.0f} : {accuracy['lost']:.0f}"]
        test += [f"{accuracy[p]:.2g}" for p in ("mcnemar_p", "mcnemar_p_holm")]
        rows.append(
            [Cell(backbone), number(accuracy["n"]), number(accuracy["seeds"]), *figure_cells(group)]
            + [Cell(text if tested else "–") for text in test]
        )
    tests = int(frame["mcnemar_p"].notna().sum())
    notes = [
        *interval_notes(frame[averages]),
        "McNemar's exact test of the accuracy, galaxy by galaxy. Gained : lost are the galaxies that the augmented or "
        f"the original runs get right more often; Holm's correction is for {tests} backbones.",
    ]
    columns = ("Backbone", "n", "Seeds", *METRIC_TITLES * 3, "Gained : lost", "p", "p (Holm)")
    groups = (("", 3), *GROUPS, ("McNemar", 3))
    return Table("Table 4. Macro averages of each backbone", groups, columns, rows, notes, frame, blocks=True)


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


def paper_tables() -> tuple[Table, Table]:
    """The paper's own Tables 3 and 4: other data, 100 test galaxies a class, one run, no intervals."""
    thirds = [
        [Cell(backbone), Cell(title(name)), *paper_cells(line)]
        for backbone, lines in PER_CLASS.items()
        for name, line in zip(TRAINING, lines, strict=True)
    ]
    fourths = [[Cell(backbone), *paper_cells(line)] for backbone, line in MACRO.items()]
    notes = ["As printed, on the paper's data: 100 test galaxies a class, one run, no intervals."]
    groups, metrics = GROUPS[:2], METRIC_TITLES * 2
    return (
        Table("The paper's Table 3", (("", 2), *groups), ("Backbone", "Class", *metrics), thirds, notes, blocks=True),
        Table("The paper's Table 4", (("", 1), *groups), ("Backbone", *metrics), fourths, notes),
    )


def paper_cells(line: str) -> list[Cell]:
    values = [float(v) for v in line.split()]
    return [Cell(f"{v:.3f}", bold=v > other) for v, other in zip(values, values[3:] + values[:3], strict=True)]
