"""How good the arms are: the endpoints, the paper's Tables 3 and 4 for any arms, calibration; and the paper's own."""

import math

import pandas as pd

from galaxy_diffusion.shared.names import arm_title, class_title
from galaxy_diffusion.shared.tables import Cell, Table, number
from galaxy_diffusion.study.arms import BASELINE
from galaxy_diffusion.study.bootstrap import METRICS, ROUNDING
from galaxy_diffusion.study.calibration import BINS, Calibration
from galaxy_diffusion.study.comparison import Comparison, excludes_zero
from galaxy_diffusion.study.endpoints import FIRST, METRIC_NAMES
from galaxy_diffusion.study.paper import MACRO, PER_CLASS, TRAINING

METRIC_TITLES = ("Precision", "Recall", "F1")
KEYS = ["backbone", "arm", "galaxy_class", "metric"]
BRACKETS = (
    "In brackets: 95 % bootstrap intervals over test galaxies and seeds; differences are paired on these. An "
    "interval of zero width is not printed."
)


def value_cell(row: pd.Series) -> Cell:
    """A figure with its interval; a dash where it is not defined."""
    if pd.isna(row["value"]):
        return Cell("–")
    width = row["high"] - row["low"]
    if width <= ROUNDING:
        return Cell(f"{row['value']:.3f}")
    digits = max(2, math.ceil(-math.log10(width)))  # so many that both ends do not look the same
    return Cell(f"{row['value']:.3f}", f"[{row['low']:.{digits}f}, {row['high']:.{digits}f}]")


def difference_cell(row: pd.Series) -> Cell:
    """Arm minus original, marked where its interval excludes 0."""
    if pd.isna(row["difference"]):
        return Cell("–")
    tone = ("better" if row["difference"] > 0 else "worse") if row["excludes_zero"] else ""
    mark = {"better": " ▲", "worse": " ▼", "": ""}[tone]
    wide = row["difference_high"] - row["difference_low"] > ROUNDING
    interval = f"[{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]" if wide else ""
    return Cell(f"{row['difference']:+.3f}{mark}", interval, tone=tone)


def beside_original(comparison: Comparison, chosen: pd.Series) -> pd.DataFrame:
    """The chosen figures with their difference to original and, for the first endpoint, its test."""
    names = {"low": "difference_low", "high": "difference_high", "seeds": "pairs"}
    columns = ["difference", *names.values(), "excludes_zero", "detectable", "p_holm", "outcome"]
    found = comparison.differences
    if found.empty:
        return comparison.figures[chosen].assign(**dict.fromkeys(columns, float("nan")))
    with_original = found[found["reference"] == BASELINE].assign(excludes_zero=excludes_zero(found))
    frame = with_original.rename(columns=names)[[*KEYS, *columns]]
    return comparison.figures[chosen].merge(frame, how="left", on=KEYS)


def endpoints(comparison: Comparison) -> Table:
    """The endpoints of every arm, the first endpoint in front."""
    question = comparison.question
    rare = class_title(question.rare_class)
    shown = {
        (question.rare_class, FIRST): "Average precision",
        (question.rare_class, "look_alike_precision"): "Against look-alike",
        ("all", "adjusted_balanced_accuracy"): "Balanced accuracy",
        ("macro", "adjusted_f1"): "Macro F1",
        (question.rare_class, "f1"): "Test mix",
        (question.rare_class, "even_f1"): "Equal numbers",
    }
    keys = pd.MultiIndex.from_frame(comparison.figures[["galaxy_class", "metric"]])
    frame = beside_original(comparison, keys.isin(list(shown)))
    present = [key for key in shown if (key == keys).any()]
    rows = []
    for (backbone, arm), group in frame.groupby(["backbone", "arm"], sort=False):
        by_key = group.set_index(["galaxy_class", "metric"])
        values = [value_cell(by_key.loc[key]) for key in present]
        cells = [Cell(backbone), Cell(arm_title(arm)), number(group["seeds"].iloc[0])]
        rows.append([*cells, values[0], difference_cell(by_key.loc[present[0]]), *values[1:]])
    n = int(frame.loc[frame["metric"] == FIRST, "n"].iloc[0])
    titles = [shown[key] for key in present]
    columns = ("Backbone", "Arm", "Seeds", titles[0], "Minus original", *titles[1:])
    groups = (("", 3), (f"{rare} ({n} test galaxies)", len(present) - 3), ("Without the prior", 2), (f"{rare} F1", 2))
    notes = [
        BRACKETS,
        f"Average precision of {rare.lower()} galaxies against all others"
        + (f", and against {class_title(question.look_alike).lower()} ones" if question.look_alike else "")
        + ": it does not change with how common they are in training.",
        "Without the prior: the prediction is the class that would be most probable if all classes were equally "
        "common in training (Menon et al. 2021); a dash where a run does not say what it was trained on. F1 at the "
        "largest probability depends on that prior; it is given in the mix of the test galaxies, and as if each class "
        "had equally many.",
    ]
    return Table("Endpoints", groups, columns, rows, notes, frame, blocks=True)


def notes_on(frame: pd.DataFrame, steps: dict[str, set[int]]) -> list[str]:
    """How to read the figures, and whether all arms were trained for the same number of steps."""
    lines = [BRACKETS]
    tested = frame[frame["difference"].notna() & (frame["metric"] == "f1")]
    if len(tested):
        lines.append(
            f"▲ ▼: the interval of the difference in F1 excludes 0, in {int(tested['excludes_zero'].sum())} of "
            f"{len(tested)} comparisons here; chance alone gives about {0.05 * len(tested):.1f}. Only the first "
            "endpoint is tested."
        )
    if (tested["pairs"] < tested["seeds"]).any() or frame["seeds"].nunique() > 1:
        lines.append(
            "Where two arms have different seeds, their difference is taken on the seeds that both have, so it differs "
            "from that of the printed values."
        )
    if steps and all(len(taken) == 1 for taken in steps.values()):
        each = ", ".join(f"{backbone} {min(taken):,}" for backbone, taken in steps.items())
        lines.append(f"Every arm was trained with the same number of optimiser steps: {each}.")
    elif steps:
        each = ", ".join(f"{backbone} {min(taken):,} to {max(taken):,}" for backbone, taken in steps.items())
        lines.append(f"The arms were not trained with the same number of optimiser steps: {each}.")
    return lines


def per_class(comparison: Comparison, steps: dict[str, set[int]]) -> dict[str, Table]:
    """Table 3: precision, recall and F1 of every arm, one table per class; the rare class's has the frame of all."""
    of_classes = comparison.figures["galaxy_class"].isin(comparison.question.class_names)
    frame = beside_original(comparison, of_classes & comparison.figures["metric"].isin(METRICS))
    frame = frame.drop(columns=["p_holm", "outcome"])
    classes = sorted(frame["galaxy_class"].unique(), key=lambda name: name != comparison.question.rare_class)
    shown = {}
    for i, name in enumerate(classes):
        of_class = frame[frame["galaxy_class"] == name]
        rows = [
            [Cell(backbone), Cell(arm_title(arm)), number(group["seeds"].iloc[0]), *figure_cells(group)]
            for (backbone, arm), group in of_class.groupby(["backbone", "arm"], sort=False)
        ]
        caption = f"Table 3. {class_title(name)} ({of_class['n'].iloc[0]} test galaxies)"
        groups, columns = (("", 3), ("Test galaxies of the class", 3), ("F1", 1)), ("Backbone", "Arm", "Seeds")
        columns = (*columns, *METRIC_TITLES, "Minus original")
        notes = notes_on(of_class, steps)
        key = f"table3_{name}" if i else "table3"
        shown[key] = Table(caption, groups, columns, rows, notes, None if i else frame, blocks=True)
    return shown


def figure_cells(rows: pd.DataFrame) -> list[Cell]:
    """Precision, recall and F1 of one arm, and the difference of its F1 from that of original."""
    by_metric = rows.set_index("metric")
    return [*(value_cell(by_metric.loc[m]) for m in METRICS), difference_cell(by_metric.loc["f1"])]


def macro(comparison: Comparison, steps: dict[str, set[int]]) -> Table:
    """Table 4: macro figures and accuracies of every arm."""
    titles = {"accuracy": "Test set", "balanced_accuracy": "Balanced", "mix_accuracy": "Mix of the data"}
    figures = comparison.figures
    chosen = figures["galaxy_class"].isin(["macro", "all"]) & figures["metric"].isin([*METRICS, *titles])
    frame = beside_original(comparison, chosen).drop(columns=["p_holm", "outcome"])
    accuracies = [name for name in titles if (frame["metric"] == name).any()]
    rows = []
    for (backbone, arm), group in frame.groupby(["backbone", "arm"], sort=False):
        by_metric = group.set_index("metric")
        rows.append(
            [Cell(backbone), Cell(arm_title(arm)), number(group["seeds"].iloc[0])]
            + figure_cells(group)
            + [value_cell(by_metric.loc[m]) for m in accuracies]
        )
    notes = [
        *notes_on(frame, steps),
        f"All of {frame['n'].iloc[0]:,} test galaxies. Accuracy on them as they are, with equal weight for every "
        "class (balanced), and weighted by how frequent the classes are among all labelled galaxies of the data.",
    ]
    columns = ("Backbone", "Arm", "Seeds", *METRIC_TITLES, "F1 − original", *(titles[name] for name in accuracies))
    groups = (("", 3), ("Macro average", 4), ("Accuracy", len(accuracies)))
    return Table("Table 4. Macro averages and accuracies", groups, columns, rows, notes, frame, blocks=True)


def comparisons(comparison: Comparison) -> Table:
    """Every comparison that the verdict rests on, with its p value."""
    findings = comparison.tested
    rows = [
        [
            Cell(f"{arm_title(r.arm)} − {arm_title(r.reference).lower()}"),
            number(r.seeds),
            Cell(f"{r.difference:+.3f}", f"[{r.low:+.3f}, {r.high:+.3f}]", tone=r.outcome),
            Cell("–" if pd.isna(r.p_holm) else f"{r.p_holm:.2g}"),
            Cell(f"{r.detectable:.3f}"),
            Cell(r.outcome),
        ]
        for r in findings.itertuples()
    ]
    rare = class_title(comparison.question.rare_class).lower()
    notes = [
        f"Differences in the {METRIC_NAMES[FIRST]} of {rare} galaxies, {comparison.scope}. p is corrected by Holm for "
        f"all {int(findings['p_holm'].notna().sum())} comparisons of several training runs, as one family.",
        f"Equivalent: both one-sided tests keep the difference within {comparison.question.margin:g}, p < 0.05 after "
        "Holm. Detectable: the smallest true difference found with 80 % power in a single comparison.",
    ]
    columns = ("Arms", "Seeds", "Difference", "p (Holm)", "Detectable", "Outcome")
    frame = findings.drop(columns=["p", "p_equivalence"])
    return Table("Comparisons of the verdict", (), columns, rows, notes, frame, blocks=True)


def calibrations(found: dict[tuple[str, str], Calibration], n: int) -> Table:
    """Table 5: calibration of every backbone and arm."""
    names = ("error", "low", "high", "floor", "confidence", "accuracy")
    records = [(*key, n, *(getattr(c, name) for name in names)) for key, c in found.items()]
    frame = pd.DataFrame(records, columns=["backbone", "arm", "n", *names])
    rows = [
        [Cell(r.backbone), Cell(arm_title(r.arm)), Cell(f"{r.error:.3f}", f"[{r.low:.3f}, {r.high:.3f}]")]
        + [Cell(f"{value:.3f}") for value in (r.floor, r.confidence, r.accuracy)]
        for r in frame.itertuples()
    ]
    notes = [
        f"Expected calibration error (Guo et al. 2017) in {BINS} bins of equal width in the confidence, on {n:,} test "
        "galaxies, mean over the seeds; reflected 95 % bootstrap interval over the galaxies. It removes the "
        "upward bias of few galaxies, so it can lie below the figure.",
        "Floor: what a classifier with exact probabilities would show on so few galaxies. A confidence above the "
        "accuracy is overconfidence. The test set does not have the mix of the data.",
    ]
    columns = ("Backbone", "Arm", "Calibration error", "Floor", "Confidence", "Accuracy")
    return Table("Table 5. Calibration", (), columns, rows, notes, frame, blocks=True)


def paper_tables() -> tuple[Table, Table]:
    """The paper's own Tables 3 and 4: other data, 100 test galaxies per class, one run, no intervals."""
    thirds = [
        [Cell(backbone), Cell(class_title(name)), *paper_cells(line)]
        for backbone, lines in PER_CLASS.items()
        for name, line in zip(TRAINING, lines, strict=True)
    ]
    fourths = [[Cell(backbone), *paper_cells(line)] for backbone, line in MACRO.items()]
    notes = [
        "As printed, on the paper's data: 100 test galaxies per class, one run, no intervals. Bold: the higher one."
    ]
    groups, metrics = (("Original", 3), ("Augmented", 3)), METRIC_TITLES * 2
    return (
        Table("The paper's Table 3", (("", 2), *groups), ("Backbone", "Class", *metrics), thirds, notes, blocks=True),
        Table("The paper's Table 4", (("", 1), *groups), ("Backbone", *metrics), fourths, notes),
    )


def paper_cells(line: str) -> list[Cell]:
    values = [float(v) for v in line.split()]
    return [Cell(f"{v:.3f}", bold=v > other) for v, other in zip(values, values[3:] + values[:3], strict=True)]
