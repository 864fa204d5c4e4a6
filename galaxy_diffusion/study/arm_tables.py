"""The paper's Tables 3 and 4 for any arms, their calibration, and what the test set can see; and the paper's own."""

import pandas as pd

from galaxy_diffusion.shared.names import arm_title, class_title
from galaxy_diffusion.shared.tables import Cell, Table, number
from galaxy_diffusion.study.arms import BASELINE
from galaxy_diffusion.study.bootstrap import ALPHA, METRICS, detectable_difference
from galaxy_diffusion.study.calibration import BINS, Calibration
from galaxy_diffusion.study.comparison import Comparison, adjusted, of_several_runs
from galaxy_diffusion.study.paper import MACRO, PER_CLASS, TRAINING

METRIC_TITLES = ("Precision", "Recall", "F1")
KEYS = ["backbone", "arm", "galaxy_class", "metric"]


def value_cell(row: pd.Series) -> Cell:
    return Cell(f"{row['value']:.3f}", f"[{row['low']:.2f}, {row['high']:.2f}]")


def difference_cell(row: pd.Series) -> Cell:
    """Arm minus original, marked where its interval excludes 0, and with a star where Holm's correction upholds it."""
    if pd.isna(row["difference"]):
        return Cell("–")
    excluded = row["difference_low"] > 0 or row["difference_high"] < 0
    tone = ("better" if row["difference"] > 0 else "worse") if excluded else ""
    mark = {"better": " ▲", "worse": " ▼", "": ""}[tone] + ("*" if row["p_holm"] < ALPHA else "")
    interval = f"[{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]"
    return Cell(f"{row['difference']:+.3f}{mark}", interval, tone=tone)


def beside_original(comparison: Comparison, of_class: pd.Series) -> pd.DataFrame:
    """The chosen figures with their difference to original, its p value corrected by Holm for every F1 of the class."""
    frame = comparison.figures[of_class]
    names = {"low": "difference_low", "high": "difference_high", "seeds": "pairs"}
    columns = [*KEYS, "difference", *names.values(), "p", "detectable", "gained", "lost", "mcnemar_p"]
    found = comparison.differences
    with_original = pd.DataFrame(columns=columns) if found.empty else found[found["reference"] == BASELINE]
    frame = frame.merge(with_original.rename(columns=names)[columns], how="left", on=KEYS)
    numbers = columns[len(KEYS) :]
    frame[numbers] = frame[numbers].astype(float)
    of_f1 = of_several_runs(frame["p"], frame["pairs"]).where(frame["metric"] == "f1")
    frame["p_holm"] = of_f1.groupby(frame["galaxy_class"]).transform(adjusted)
    return frame


def notes_on(frame: pd.DataFrame, steps: dict[str, set[int]]) -> list[str]:
    """How the figures are to be read, how many differences stand out, and whether the arms were trained alike."""
    tested = frame.dropna(subset="difference")
    tested = tested[tested["metric"] == "f1"]
    total = len(tested)
    excluded = ((tested["difference_low"] > 0) | (tested["difference_high"] < 0)).sum()
    lines = [
        "In brackets: 95 % bootstrap intervals over test galaxies and seeds; differences are paired on the same ones."
    ]
    if total:
        judged = tested["p_holm"].notna().sum()
        upheld = (tested["p_holm"] < ALPHA).sum()
        lines.append(
            f"▲ ▼: the interval of the difference in F1 excludes 0, in {excluded} of {total} comparisons here; chance "
            f"alone gives about {ALPHA * total:.1f}. "
            + (
                f"*: p < 0.05 after Holm's correction for the {judged} of several training runs: {upheld}."
                if judged
                else "Each is of one training run, so a hint."
            )
        )
    if (tested["pairs"] < tested["seeds"]).any() or frame["seeds"].nunique() > 1:
        lines.append(
            "Where arms have different seeds, a difference is on the seeds that both have, not that of the columns."
        )
    if steps and all(len(taken) == 1 for taken in steps.values()):
        each = ", ".join(f"{backbone} {min(taken):,}" for backbone, taken in steps.items())
        lines.append(f"Every arm was trained with the same number of optimiser steps: {each}.")
    elif steps:
        each = ", ".join(f"{backbone} {min(taken):,} to {max(taken):,}" for backbone, taken in steps.items())
        lines.append(f"The arms were not trained with the same number of optimiser steps: {each}.")
    return lines


def per_class(comparison: Comparison, rare_class: str, steps: dict[str, set[int]]) -> dict[str, Table]:
    """Table 3: precision, recall and F1 of every arm, a table a class, the rare one first with the frame of all."""
    frame = beside_original(comparison, ~comparison.figures["galaxy_class"].isin(["macro", "all"]))
    frame = frame.drop(columns=["gained", "lost", "mcnemar_p"])
    classes = sorted(frame["galaxy_class"].unique(), key=lambda name: name != rare_class)
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
    """Precision, recall and F1 of one arm, and how far its F1 is from original's."""
    by_metric = rows.set_index("metric")
    return [*(value_cell(by_metric.loc[m]) for m in METRICS), difference_cell(by_metric.loc["f1"])]


def macro(comparison: Comparison, steps: dict[str, set[int]]) -> Table:
    """Table 4: macro figures, accuracies and McNemar's test of every arm."""
    frame = beside_original(comparison, comparison.figures["galaxy_class"].isin(["macro", "all"]))
    frame["mcnemar_p_holm"] = adjusted(frame["mcnemar_p"])
    natural = (frame["metric"] == "natural_accuracy").any()
    accuracies = ["accuracy", "balanced_accuracy", *(["natural_accuracy"] if natural else [])]
    rows = []
    for (backbone, arm), group in frame.groupby(["backbone", "arm"], sort=False):
        by_metric = group.set_index("metric")
        test = by_metric.loc["accuracy"]
        cells = [Cell("–")] * 3
        if not pd.isna(test["mcnemar_p"]):
            p_values = [Cell(f"{test[p]:.2g}") for p in ("mcnemar_p", "mcnemar_p_holm")]
            cells = [Cell(f"{test['gained']:.0f} : {test['lost']:.0f}"), *p_values]
        rows.append(
            [Cell(backbone), Cell(arm_title(arm)), number(group["seeds"].iloc[0])]
            + figure_cells(group)
            + [value_cell(by_metric.loc[m]) for m in accuracies]
            + cells
        )
    n, tests = frame["n"].iloc[0], int(frame["mcnemar_p"].notna().sum())
    notes = [
        *notes_on(frame, steps),
        f"All of {n:,} test galaxies. Accuracy on them as they are, with every class weighing the same (balanced), and "
        "weighted by how frequent the classes are among all labelled galaxies of the data (natural mix).",
        "McNemar's exact test of the accuracy against original, galaxy by galaxy. Gained : lost are the galaxies that "
        f"the arm's or the original runs get right more often; Holm's correction is for {tests} tests.",
    ]
    titles = ("Test set", "Balanced", "Natural mix")[: len(accuracies)]
    columns = ("Backbone", "Arm", "Seeds", *METRIC_TITLES, "F1 − original", *titles, "Gained : lost", "p", "p (Holm)")
    groups = (("", 3), ("Macro average", 4), ("Accuracy", len(accuracies)), ("McNemar", 3))
    return Table("Table 4. Macro averages and accuracies", groups, columns, rows, notes, frame, blocks=True)


def comparisons(findings: pd.DataFrame) -> Table:
    """Every comparison that the verdict rests on, from `verdict.Verdict`."""
    rows = [
        [Cell(f"{arm_title(r.arm)} − {arm_title(r.reference).lower()}")]
        + [Cell("Macro F1" if r.galaxy_class == "macro" else f"{class_title(r.galaxy_class)} F1"), number(r.seeds)]
        + [Cell(f"{r.difference:+.3f}", f"[{r.low:+.3f}, {r.high:+.3f}]", tone=r.outcome)]
        + [Cell("–" if pd.isna(value) else f"{value:.2g}") for value in (r.p, r.p_holm)]
        for r in findings.itertuples()
    ]
    sizes = findings["family"][findings["p_holm"].notna()].value_counts()
    notes = [
        "Holm's correction within two families, of what has several training runs: the "
        f"{sizes.get('question', 0)} comparisons of diffusion with original, and the {sizes.get('others', 0)} others."
    ]
    columns = ("Arm", "Class", "Seeds", "Difference", "p", "p (Holm)")
    return Table("Comparisons of the verdict", (), columns, rows, notes, findings, blocks=True)


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
        "galaxies, mean over the seeds; reflected 95 % bootstrap interval over the galaxies, from which the upward "
        "bias of few galaxies is taken, so that it can lie below the figure.",
        "Floor: what a classifier with exact probabilities would show on so few galaxies. A confidence above the "
        "accuracy is overconfidence. The test set is not the natural mix.",
    ]
    columns = ("Backbone", "Arm", "Calibration error", "Floor", "Confidence", "Accuracy")
    return Table("Table 5. Calibration", (), columns, rows, notes, frame, blocks=True)


def detectable(comparison: Comparison, comparisons: int) -> Table:
    """Table 6: the smallest difference of recalls that a paired test finds on each class's test galaxies."""
    frame = comparison.discordance.copy()
    for column, alpha in (("alone", ALPHA), ("corrected", ALPHA / max(comparisons, 1))):
        frame[column] = [
            detectable_difference(n, psi, alpha) for n, psi in zip(frame["n"], frame["discordance"], strict=True)
        ]
    rows = [
        [
            Cell(class_title(r.galaxy_class)),
            number(r.n),
            Cell("–" if pd.isna(r.discordance) else f"{r.discordance:.3f}"),
        ]
        + [Cell("none" if pd.isna(value) else f"{value:.3f}") for value in (r.alone, r.corrected)]
        for r in frame.itertuples()
    ]
    notes = [
        "Discordant: the share of galaxies that exactly one of two paired runs gets right, mean over all pairs of an "
        "arm and original with the same seed. From it the smallest true difference of their recalls that McNemar's "
        f"test finds with 80 % power at α = {ALPHA:.2f} (Connor 1987), alone and as one of {comparisons} comparisons; "
        "none: not even if all discordant galaxies spoke for one side. Means over seeds see somewhat smaller ones."
    ]
    columns = ("Class", "n", "Discordant", "One comparison", f"One of {comparisons}")
    groups = (("", 3), ("Smallest detectable difference in recall", 2))
    return Table("Table 6. What this test set can see", groups, columns, rows, notes, frame)


def paper_tables() -> tuple[Table, Table]:
    """The paper's own Tables 3 and 4: other data, 100 test galaxies a class, one run, no intervals."""
    thirds = [
        [Cell(backbone), Cell(class_title(name)), *paper_cells(line)]
        for backbone, lines in PER_CLASS.items()
        for name, line in zip(TRAINING, lines, strict=True)
    ]
    fourths = [[Cell(backbone), *paper_cells(line)] for backbone, line in MACRO.items()]
    notes = ["As printed, on the paper's data: 100 test galaxies a class, one run, no intervals. Bold: the higher one."]
    groups, metrics = (("Original", 3), ("Augmented", 3)), METRIC_TITLES * 2
    return (
        Table("The paper's Table 3", (("", 2), *groups), ("Backbone", "Class", *metrics), thirds, notes, blocks=True),
        Table("The paper's Table 4", (("", 1), *groups), ("Backbone", *metrics), fourths, notes),
    )


def paper_cells(line: str) -> list[Cell]:
    values = [float(v) for v in line.split()]
    return [Cell(f"{v:.3f}", bold=v > other) for v, other in zip(values, values[3:] + values[:3], strict=True)]
