"""Tables say what the predictions say, and the verdict no more than the intervals allow."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support

from galaxy_diffusion.shared.tables import Cell, Table
from galaxy_diffusion.study import arm_tables, dataset_tables, paper
from galaxy_diffusion.study import comparison as comparison_module
from galaxy_diffusion.study.arms import Run
from galaxy_diffusion.study.bootstrap import bootstrap
from galaxy_diffusion.study.calibration import calibration
from galaxy_diffusion.study.comparison import MEAN, compare
from galaxy_diffusion.study.endpoints import Question
from galaxy_diffusion.study.runs import Runs
from galaxy_diffusion.study.verdict import judge
from gz2_dataset import CLASS_NAMES
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.rules import Condition, Rule
from tests.cards import HOSTILE, as_shown, check_safe, tables

CIGAR = 2
BUILD = BuildRecord(
    source="class_list",
    classes=CLASS_NAMES,
    counts={
        "train": dict(zip(CLASS_NAMES, (800, 780, 41, 391, 776), strict=True)),
        "validation": dict(zip(CLASS_NAMES, (50, 50, 6, 50, 50), strict=True)),
        "test": dict(zip(CLASS_NAMES, (100, 100, 19, 100, 100), strict=True)),
        "unlabelled": {"": 4719},
    },
    notes=("cigar_shaped_smooth: 19 test galaxies instead of 100, because the class is small",),
)


RARE = "cigar_shaped_smooth"


QUESTION = Question(CLASS_NAMES, RARE, "edge_on")


def sure_of(predictions: np.ndarray) -> np.ndarray:
    """Probabilities of a net that gives 0.8 to its prediction and the rest to all classes equally."""
    return np.full((len(predictions), 5), 0.05) + 0.75 * np.eye(5)[predictions]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(comparison_module, "bootstrap", partial(bootstrap, replicates=1000))


def runs_with(cigars_right: dict[str, dict[str, int]], per_class: int = 100, seeds: int = 1) -> Runs:
    """By backbone and arm, a number of cigars are right and the rest called edge-on; all others are right.

    With a share r of the cigars right, their average precision is r + (1 - r) / 5: the others come with all the rest.
    """
    labels, probabilities = np.repeat(np.arange(5), per_class), {}
    for backbone, arms in cigars_right.items():
        for arm, right in arms.items():
            for seed in range(seeds):
                predictions = labels.copy()
                predictions[CIGAR * per_class + right : (CIGAR + 1) * per_class] = 3
                probabilities[Run(backbone, arm, seed)] = sure_of(predictions)
    log_priors = {run: np.zeros((len(labels), 5)) for run in probabilities}
    return Runs(CLASS_NAMES, labels, probabilities, log_priors)


def compared(seeds: int = 2, generators: dict[str, str] | None = None, **cigars_right: int):
    """One backbone with one arm per keyword."""
    return compare(runs_with({"net": cigars_right}, seeds=seeds), QUESTION, generators)


def row(frame: pd.DataFrame, galaxy_class: str, metric: str, **where: str) -> pd.Series:
    for column, value in {"galaxy_class": galaxy_class, "metric": metric, **where}.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_the_compared_figures_are_scikit_learns_averaged_over_seeds_and_backbones():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 40)
    keys = [Run(b, a, s) for b in ("x", "y") for a in ("original", "diffusion") for s in range(3)]
    predictions = {k: np.where(rng.random(200) < 0.7, labels, rng.integers(0, 5, 200)) for k in keys}
    mix = np.array([5, 4, 1, 2, 4])
    runs = Runs(CLASS_NAMES, labels, {run: sure_of(p) for run, p in predictions.items()})
    found = compare(runs, replace(QUESTION, mix=mix))
    for backbone, of_backbone in ((MEAN, "xy"), ("x", "x"), ("y", "y")):
        means = {}
        for arm in ("original", "diffusion"):
            chosen = [p for k, p in predictions.items() if k.arm == arm and k.backbone in of_backbone]
            where = {"backbone": backbone, "arm": arm}
            expected = np.mean([precision_recall_fscore_support(labels, p)[:3] for p in chosen], axis=0)
            for i, metric in enumerate(("precision", "recall", "f1")):
                ours = [row(found.figures, name, metric, **where)["value"] for name in CLASS_NAMES]
                assert ours == pytest.approx(expected[i])
                assert row(found.figures, "macro", metric, **where)["value"] == pytest.approx(expected[i].mean())
            accuracy = row(found.figures, "all", "accuracy", **where)
            assert accuracy["value"] == pytest.approx(np.mean([(p == labels).mean() for p in chosen]))
            in_mix = row(found.figures, "all", "mix_accuracy", **where)["value"]
            assert in_mix == pytest.approx((mix * expected[1]).sum() / mix.sum())
            means[arm] = expected[2].mean()
        difference = row(found.differences, "macro", "f1", backbone=backbone)
        assert difference["difference"] == pytest.approx(means["diffusion"] - means["original"], abs=1e-6)
    assert set(found.figures["seeds"]) == {3}
    defined = found.figures.dropna(subset="value")
    assert defined[["low", "high"]].stack().between(0, 1).all()
    assert found.figures.groupby("galaxy_class")["n"].first().to_dict() == {
        **dict.fromkeys(CLASS_NAMES, 40),
        **dict.fromkeys(("macro", "all"), 200),
    }
    assert found.scope == MEAN


def test_arms_are_paired_on_the_seeds_that_both_have():
    runs = runs_with({"net": {"original": 40, "diffusion": 60}}, seeds=3)
    lucky = runs.probabilities.pop(Run("net", "diffusion", 2))
    runs.probabilities[Run("net", "original", 0)] = lucky  # original with seed 0 is as good as diffusion
    found = compare(runs, QUESTION)
    difference = row(found.differences, RARE, "recall")
    assert difference["seeds"] == 2
    assert difference["difference"] == pytest.approx(0.1)
    assert row(found.figures, RARE, "recall", arm="original")["seeds"] == 3
    once = {Run("net", arm, seed): lucky for seed, arm in enumerate(("original", "mixup"))}
    apart = compare(Runs(CLASS_NAMES, runs.labels, once), QUESTION)
    assert apart.differences.empty


def test_diffusion_is_compared_with_each_cheap_remedy_and_other_generator():
    """The kind of an arm follows from the images that it trains on, not from its name."""
    right = {"original": 40, "diffusion": 60, "flow": 50, "synthetic_noise": 55, "twice": 58}
    generators = {"diffusion": "ddpm", "twice": "ddpm", "flow": "flow"}
    found = compared(generators=generators, **right)
    pairs = set(zip(found.differences["arm"], found.differences["reference"], strict=True))
    assert pairs == {("diffusion", "flow"), ("diffusion", "synthetic_noise")} | {
        (arm, "original") for arm in right.keys() - {"original"}
    }
    assert row(found.differences, RARE, "recall", reference="flow")["difference"] == pytest.approx(0.1)
    assert found.cheap == {"synthetic_noise"}
    assert set(judge(found).findings["reference"]) == {"original", "flow", "synthetic_noise"}


def test_diffusion_is_compared_with_a_ceiling_but_need_not_outdo_it():
    arms = {"original": 40, "diffusion": 85, "duplicates": 50, "ceiling": 99}
    runs = runs_with({"net": arms}, seeds=3)
    found = compare(runs, QUESTION, {"diffusion": "ddpm"}, frozenset({"ceiling"}))
    assert found.cheap == {"duplicates"}
    verdict = judge(found)
    assert set(verdict.findings["reference"]) == {"original", "duplicates", "ceiling"}
    assert verdict.outcome == "better"
    assert judge(compare(runs, QUESTION, {"diffusion": "ddpm"})).outcome == "worse"


@pytest.mark.parametrize(
    ("arms", "outcome", "text"),
    [
        (
            {"original": 40, "diffusion": 85},
            "better",
            "Diffusion raises the average precision of cigar-shaped smooth galaxies by 0.360 [",
        ),
        ({"original": 40, "diffusion": 85}, "better", "; no cheap remedy was trained to compare it with."),
        (
            {"original": 40, "diffusion": 85, "oversampling": 50, "smote": 60},
            "better",
            "is better than every control by more than 0.03, the nearest being SMOTE: +0.200 [",
        ),
        ({"original": 85, "diffusion": 40}, "worse", "Diffusion is worse than original: it changes the average"),
        ({"original": 40, "diffusion": 60, "oversampling": 95}, "worse", "Diffusion is worse than oversampling: "),
        ({"original": 60, "diffusion": 63}, "none", "No evidence that diffusion helps: it changes the average"),
        (
            {"original": 40, "diffusion": 85, "oversampling": 80},
            "none",
            "without evidence that it is better than every",
        ),
        (
            {"original": 40, "diffusion": 85, "oversampling": 85},
            "equivalent",
            "Diffusion is no better than oversampling: equivalent within 0.03; it changes the average precision",
        ),
        ({"original": 40}, "missing", "Not every backbone"),
        ({"diffusion": 40, "smote": 30}, "missing", "Not every backbone"),
    ],
)
def test_the_verdict_follows_the_intervals(arms, outcome, text):
    verdict = judge(compared(**arms))
    assert text in verdict.headline
    assert verdict.outcome == outcome
    assert verdict.headline.count(". ") == 0


def test_a_difference_that_is_sure_but_smaller_than_the_margin_is_no_gain():
    """With enough galaxies any difference is found; a margin that was fixed beforehand is not affected."""
    runs = runs_with({"net": {"original": 600, "diffusion": 615}}, per_class=1000, seeds=2)
    verdict = judge(compare(runs, QUESTION))
    assert verdict.findings["p_holm"].iloc[0] < 0.01
    assert verdict.findings["difference"].iloc[0] == pytest.approx(0.012)
    assert verdict.outcome == "equivalent"
    strict = judge(compare(runs, replace(QUESTION, margin=0.002)))
    assert strict.outcome == "better"


def test_the_sentence_says_how_many_generators_it_rests_on():
    arms = {"original": 40, "diffusion": 85}
    assert judge(compared(generators={"diffusion": "ddpm"}, **arms)).headline.endswith("conditional on one generator.")


def test_the_verdict_does_not_move_with_the_prior_of_the_training_set():
    """An arm that only makes the rare class more common raises F1 and nothing that is judged."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 100)
    probabilities = {}
    for seed in range(2):
        odds = np.exp(rng.normal(size=(500, 5)) + 2 * np.eye(5)[labels])
        for arm, copies in (("original", 1), ("diffusion", 12)):
            weighted = odds * np.array([800, 780, 41 * copies, 391, 776])
            probabilities[Run("net", arm, seed)] = weighted / weighted.sum(axis=1, keepdims=True)
    found = compare(Runs(CLASS_NAMES, labels, probabilities), QUESTION)
    assert row(found.differences, RARE, "f1")["low"] > 0.1
    verdict = judge(found)
    assert verdict.outcome == "equivalent"
    assert verdict.findings["difference"].iloc[0] == 0


def test_all_comparisons_are_one_family():
    """On its own an interval may exclude 0; among many other arms it is not evidence."""
    lucky = {"original": 60, "diffusion": 66, "mixup": 66}
    few = judge(compared(**lucky)).findings
    many = judge(compared(**lucky, **{f"remedy{i}": 60 for i in range(12)}))
    first = {
        key: found[(found["arm"] == "diffusion") & (found["reference"] == "original")].iloc[0]
        for key, found in (("few", few), ("many", many.findings))
    }
    assert first["few"]["p_holm"] < first["many"]["p_holm"]
    assert (first["few"]["outcome"], first["many"]["outcome"]) == ("better", "uncertain")
    assert any("for all 27 comparisons" in line for line in many.caveats)


def test_one_training_run_is_a_hint_whatever_its_interval():
    """Its interval only covers other galaxies; another training may give another result, so nothing is judged by it."""
    once = judge(compared(seeds=1, original=40, diffusion=85, mixup=40))
    assert once.outcome == "none"
    assert set(once.findings["outcome"]) == {"hint", "none"}
    assert once.findings["p_holm"].isna().all()
    assert once.headline.startswith("A hint, not evidence, from one training run: diffusion changes")
    assert "one training run: a hint" in once.sentences[0]
    assert not any("after Holm" in line for line in once.sentences + once.caveats)


def test_a_hint_on_a_remedy_is_not_said_of_the_change_from_original():
    once = judge(compared(seeds=1, original=40, diffusion=40, mixup=85))
    assert "hint" in set(once.findings["outcome"])
    assert once.headline.startswith("No evidence that diffusion helps, from one training run: it changes the average")
    assert any(line.startswith("In 2 comparisons (ochre)") for line in once.caveats)
    alone = judge(compared(seeds=1, original=40, diffusion=85))
    assert any(line.startswith("In 1 comparison (ochre)") for line in alone.caveats)


def test_arms_that_were_trained_once_do_not_weaken_the_others():
    runs = runs_with({"net": {"original": 40, "diffusion": 85, "oversampling": 40}}, seeds=2)
    few = judge(compare(runs, QUESTION))
    for arm in ("mixup", "smote"):
        runs.probabilities[Run("net", arm, 0)] = runs.probabilities[Run("net", "original", 0)]
    many = judge(compare(runs, QUESTION))
    assert few.outcome == "better"
    assert many.outcome == "none", "not every control was trained more than once"
    findings = many.findings[many.findings["seeds"] > 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(findings, few.findings, atol=0.02)
    assert many.findings.loc[many.findings["seeds"] == 1, "p_holm"].isna().all()


def test_each_comparison_has_one_p_value_the_same_wherever_it_is_printed():
    comparison = compared(original=40, diffusion=47, mixup=47)
    findings = judge(comparison).findings
    table = arm_tables.comparisons(comparison)
    assert [cells[3].text for cells in table.rows] == [f"{p:.2g}" for p in findings["p_holm"]]
    assert table.frame["p_holm"].tolist() == findings["p_holm"].tolist()
    assert "p" not in table.frame
    endpoints = arm_tables.endpoints(comparison).frame
    shared = endpoints.merge(findings[findings["reference"] == "original"], on=["backbone", "arm", "metric"])
    assert (shared["p_holm_x"] == shared["p_holm_y"]).all()
    assert len(shared) == 2
    for other in (arm_tables.macro(comparison, {}), *arm_tables.per_class(comparison, {}).values()):
        assert other.frame is None or not any(column.startswith("p") for column in other.frame.columns.drop("pairs"))
        assert "p (Holm)" not in other.columns


def test_the_verdict_is_on_the_mean_of_the_backbones():
    runs = runs_with({"a": {"original": 40, "diffusion": 85}, "b": {"original": 50, "diffusion": 50}})
    verdict = judge(compare(runs, QUESTION))
    assert set(verdict.findings["backbone"]) == {MEAN}
    assert "(mean of 2 backbones)" in verdict.headline
    lone = runs_with({"a": {"original": 40, "diffusion": 85}, "b": {"original": 50}})
    assert judge(compare(lone, QUESTION)).outcome == "missing"


def test_what_other_classes_paid_is_said():
    runs = runs_with({"net": {"original": 40, "diffusion": 85}}, seeds=2)
    for seed in range(2):  # edge-ons that the augmented runs take for cigars
        taken = runs.probabilities[Run("net", "diffusion", seed)]
        taken[300:330] = sure_of(np.full(30, CIGAR))
    verdict = judge(compare(runs, QUESTION))
    assert any("recall of other classes is lower" in line and "Edge-on by 0.300" in line for line in verdict.caveats)
    assert "edge-on recall, Diffusion minus Original: -0.300" in verdict.sentences[-1]
    unharmed = judge(compared(original=40, diffusion=85))
    assert not any("other classes" in line for line in unharmed.caveats)


def test_the_verdict_names_what_is_too_small_to_see():
    verdict = judge(compare(runs_with({"net": {"original": 10, "diffusion": 11}}, per_class=19), QUESTION))
    assert "net, cigar-shaped smooth average precision, Diffusion minus Original: +0.042 [" in verdict.sentences[0]
    assert any("With 19 cigar-shaped smooth test galaxies a true change of 0." in line for line in verdict.caveats)
    assert any("One training run per arm" in line for line in verdict.caveats)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.31, 0.52, "[0.31, 0.52]"), (0.0, 0.0021, "[0.000, 0.002]"), (0.0, 0.00021, "[0.0000, 0.0002]"), (0.4, 0.4, "")],
)
def test_the_ends_of_an_interval_are_printed_as_two_numbers(low, high, shown):
    """As they are with thousands of test galaxies, none of which is found."""
    cell = arm_tables.value_cell(pd.Series({"value": low, "low": low, "high": high}))
    assert (cell.text, cell.interval) == (f"{low:.3f}", shown)


def test_no_interval_without_width_is_printed():
    comparison = compared(original=0, diffusion=0)
    for table in (arm_tables.endpoints(comparison), *arm_tables.per_class(comparison, {}).values()):
        assert "[0.00, 0.00]" not in table.markdown
        assert "[+0.000, +0.000]" not in table.markdown
        assert "[1.00, 1.00]" not in table.markdown
    verdict = judge(comparison)
    assert not any("[+0.000, +0.000]" in line for line in (verdict.headline, *verdict.sentences))
    recall = row(comparison.figures, RARE, "recall", arm="original")
    assert recall["value"] == 0
    assert 0.01 < recall["high"] < 0.04, "0 of 100"


def test_table_1_gives_the_rules_and_says_where_they_were_not_applied():
    table = dataset_tables.selection(BUILD)
    assert table.frame["here"].tolist() == [950, 930, 66, 541, 926]
    assert table.frame["public_labels"].sum() == 28_793
    assert table.frame["threshold"][CIGAR] == "f_smooth ≥ 0.469 and f_cigar_shaped ≥ 0.500"
    assert any("the rules were not applied" in note for note in table.notes)
    rules = (Rule("spiral", (Condition("Class3.1", 0.5, quantity="f_bar"),)),)
    own = dataset_tables.selection(replace(BUILD, source="kaggle", rules=rules))
    assert not any("not applied" in note for note in own.notes)
    assert own.frame["threshold"].tolist() == ["", "", "", "", "f_bar ≥ 0.500"]


def test_table_2_adds_the_generated_images_to_training_only():
    table = dataset_tables.composition(BUILD, {"generated": {RARE: 442}, "sagan_generated": {RARE: 440, "edge_on": 7}})
    cigar = table.frame.iloc[CIGAR]
    assert (cigar["train"], cigar["generated"], cigar["augmented_train"]) == (41, 442, 483)
    assert table.frame["sagan_generated"].tolist() == [0, 0, 440, 7, 0]
    assert cigar["test"] == 19
    assert cigar["paper_augmented_train"] == 5642
    assert [cell.text for cell in table.rows[-1]][:5] == ["Sum", "2,788", "206", "419", "442"]
    assert any("4,719" in note for note in table.notes)
    assert BUILD.notes[0] in table.notes


def test_another_survey_has_no_columns_of_the_paper():
    build = BuildRecord(source="image_folder", classes=("ring", "spiral"), counts={"train": {"ring": 7, "spiral": 9}})
    first, second = dataset_tables.selection(build), dataset_tables.composition(build, {"generated": {"ring": 3}})
    assert [[cell.text for cell in row] for row in first.rows] == [["Ring", "–", "–", "7"], ["Spiral", "–", "–", "9"]]
    assert [cell.text for cell in second.rows[0]] == ["Ring", "7", "0", "0", "3", "10"]
    for table in (first, second):
        assert "Paper" not in table.markdown
        assert "paper" not in " ".join([*table.notes, *table.frame.dropna(axis=1).columns])
        assert {len(table.columns), sum(width for _, width in table.groups)} == {len(table.rows[0])}


def test_table_3_has_every_arm_and_marks_the_differences_that_stand_out():
    arms = {"up": {"original": 40, "diffusion": 85, "smote": 41}, "even": {"original": 50, "diffusion": 50}}
    runs = runs_with(arms, seeds=2)
    shown = arm_tables.per_class(compare(runs, QUESTION), {})
    assert list(shown) == ["table3", *(f"table3_{name}" for name in CLASS_NAMES if name != RARE)]
    table = shown["table3"]
    assert "Cigar-shaped smooth (100 test galaxies)" in table.caption
    assert [tuple(cell.text for cell in cells[:2]) for cells in table.rows] == [
        (MEAN, "Original"),
        (MEAN, "Diffusion"),
        ("up", "Original"),
        ("up", "Diffusion"),
        ("up", "SMOTE"),
        ("even", "Original"),
        ("even", "Diffusion"),
    ]
    up = table.rows[3]
    assert [cell.text for cell in up[2:6]] == ["2", "1.000", "0.850", "0.919"]
    assert up[6].text == "+0.347 ▲"
    assert up[6].tone == "better"
    assert table.rows[2][6].text == "–"
    assert table.rows[6][6].tone == ""
    assert len(table.frame) == 7 * 5 * 3
    assert all(other.frame is None for name, other in shown.items() if name != "table3")


def test_table_4_has_three_accuracies_or_two_where_the_mix_is_unknown():
    runs = runs_with({"up": {"original": 40, "diffusion": 85}, "even": {"original": 50, "diffusion": 50}})
    table = arm_tables.macro(compare(runs, replace(QUESTION, mix=np.array([8, 8, 1, 4, 8]))), {})
    cells = {(cells[0].text, cells[1].text): [cell.text for cell in cells] for cells in table.rows}
    assert cells["up", "Diffusion"][7:] == ["0.970", "0.970", f"{(28 + 0.85) / 29:.3f}"]
    without = arm_tables.macro(compare(runs, QUESTION), {})
    assert "Mix of the data" not in without.columns
    assert len(without.columns) == len(without.rows[0]) == len(table.columns) - 1


def test_the_endpoints_stand_in_one_table_the_first_foremost():
    comparison = compared(original=40, diffusion=85)
    table = arm_tables.endpoints(comparison)
    assert table.columns[3:] == (
        "Average precision",
        "Minus original",
        "Against look-alike",
        "Balanced accuracy",
        "Macro F1",
        "Test mix",
        "Equal numbers",
    )
    diffusion = [cell.text for cell in table.rows[1]]
    assert diffusion[3:5] == ["0.880", "+0.360 ▲"]
    assert diffusion[5] == f"{0.85 + 0.15 * 0.5:.3f}", "the rest comes in with the edge-ons alone"
    assert diffusion[6] == "0.970"
    unknown = compare(
        Runs(CLASS_NAMES, np.arange(5), {Run("net", "original", 0): np.eye(5)}), Question(CLASS_NAMES, RARE)
    )
    assert [cell.text for cell in arm_tables.endpoints(unknown).rows[0]][4:7] == ["–"] * 3


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ({"net": {800}, "other": {400}}, "the same number of optimiser steps: net 800, other 400"),
        ({"net": {700, 800}}, "not trained with the same number of optimiser steps: net 700 to 800"),
        ({}, None),
    ],
)
def test_equal_steps_are_said_only_where_they_were_recorded_so(steps, says):
    comparison = compared(original=40, diffusion=50)
    for table in (arm_tables.macro(comparison, steps), arm_tables.per_class(comparison, steps)["table3"]):
        assert [says in note for note in table.notes if "steps" in note] == ([True] if says else [])


def test_with_one_arm_the_differences_are_dashes():
    comparison = compared(original=40)
    tables = arm_tables.per_class(comparison, {})["table3"], arm_tables.macro(comparison, {})
    for table in (*tables, arm_tables.endpoints(comparison)):
        assert "–" in [cell.text for cell in table.rows[0]]
        assert "nan" not in table.markdown


def test_markdown_has_a_cell_a_column():
    comparison = compared(original=40, diffusion=85, smote=60)
    every = [
        dataset_tables.selection(BUILD),
        dataset_tables.composition(BUILD, {}),
        dataset_tables.composition(BUILD, {"generated": {RARE: 1}}),
    ]
    every += [*arm_tables.per_class(comparison, {}).values(), arm_tables.macro(comparison, {})]
    every += [arm_tables.endpoints(comparison), arm_tables.comparisons(comparison)]
    exact = calibration(np.zeros(9, int), np.ones((1, 9, 1)), replicates=9)
    for table in [*every, arm_tables.calibrations({("net", "original"): exact}, 9), *arm_tables.paper_tables()]:
        lines = [line for line in table.markdown.splitlines() if line.startswith("|")]
        assert len(lines) == len(table.rows) + 2
        assert {line.count(" | ") for line in lines} == {len(table.columns) - 1}
        assert sum(span for _, span in table.groups) in (0, len(table.columns))


def test_names_in_markdown_are_shown_as_they_are():
    rows = [[Cell(name, "[0, 1]", bold=True), Cell("7")] for name in HOSTILE]
    table = Table("# a|b", (), ("<b>", "n"), rows, notes=["*a* <i>"])
    check_safe(table.markdown, headings=1)
    (shown,) = tables(table.markdown)
    assert shown[2:] == [[f"**{as_shown(name)}** [0, 1]", "7"] for name in HOSTILE]


def test_the_papers_tables_3_and_4_agree_but_for_one_figure():
    """A check of the transcription: macro figures are means over the classes, of figures rounded to three places."""
    differences = {
        (backbone, column): abs(float(printed) - np.mean([float(line.split()[column]) for line in lines]))
        for backbone, lines in paper.PER_CLASS.items()
        for column, printed in enumerate(paper.MACRO[backbone].split())
    }
    assert [place for place, difference in differences.items() if difference > 0.001] == [("EfficientNetV2M", 0)]
