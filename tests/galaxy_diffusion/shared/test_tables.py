"""Tables say what the predictions say, and the verdict no more than the intervals allow."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support

from galaxy_diffusion.shared.tables import Cell, Table
from galaxy_diffusion.study import arm_tables, dataset_tables, paper
from galaxy_diffusion.study.arms import Run
from galaxy_diffusion.study.calibration import calibration
from galaxy_diffusion.study.comparison import MEAN, compare
from galaxy_diffusion.study.runs import Runs
from galaxy_diffusion.study.verdict import judge
from gz2_dataset import CLASS_NAMES
from tests.cards import HOSTILE, as_shown, check_safe, tables

CIGAR = 2
BUILD = {
    "source": "class_list",
    "rules": None,
    "classes": list(CLASS_NAMES),
    "counts": {
        "train": dict(zip(CLASS_NAMES, (800, 780, 41, 391, 776), strict=True)),
        "validation": dict(zip(CLASS_NAMES, (50, 50, 6, 50, 50), strict=True)),
        "test": dict(zip(CLASS_NAMES, (100, 100, 19, 100, 100), strict=True)),
        "unlabelled": {"": 4719},
    },
    "notes": ["cigar_shaped_smooth: 19 test galaxies instead of 100, as the class is small"],
}


RARE = "cigar_shaped_smooth"


def runs_with(cigars_right: dict[str, dict[str, int]], per_class: int = 100, seeds: int = 1) -> Runs:
    """By backbone and arm so many cigars are right, the rest called edge-on; all others are right."""
    labels, predictions = np.repeat(np.arange(5), per_class), {}
    for backbone, arms in cigars_right.items():
        for arm, right in arms.items():
            for seed in range(seeds):
                predictions[Run(backbone, arm, seed)] = labels.copy()
                predictions[Run(backbone, arm, seed)][CIGAR * per_class + right : (CIGAR + 1) * per_class] = 3
    return Runs(CLASS_NAMES, labels, predictions)


def compared(seeds: int = 2, **cigars_right: int):
    """One backbone with an arm a keyword."""
    return compare(runs_with({"net": cigars_right}, seeds=seeds))


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
    found = compare(Runs(CLASS_NAMES, labels, predictions), mix)
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
            natural = row(found.figures, "all", "natural_accuracy", **where)["value"]
            assert natural == pytest.approx((mix * expected[1]).sum() / mix.sum())
            means[arm] = expected[2].mean()
        difference = row(found.differences, "macro", "f1", backbone=backbone)
        assert difference["difference"] == pytest.approx(means["diffusion"] - means["original"], abs=1e-6)
    assert set(found.figures["seeds"]) == {3}
    assert found.figures[["low", "high"]].stack().between(0, 1).all()
    assert found.figures.groupby("galaxy_class", sort=False)["n"].first().tolist() == [40] * 5 + [200] * 2
    assert found.scope == MEAN


def test_arms_are_paired_on_the_seeds_that_both_have():
    runs = runs_with({"net": {"original": 40, "diffusion": 60}}, seeds=3)
    lucky = runs.predictions.pop(Run("net", "diffusion", 2))
    runs.predictions[Run("net", "original", 0)] = lucky  # original with seed 0 is as good as diffusion
    found = compare(runs)
    difference = row(found.differences, RARE, "recall")
    assert difference["seeds"] == 2
    assert difference["difference"] == pytest.approx(0.1)
    assert row(found.figures, RARE, "recall", arm="original")["seeds"] == 3
    apart = compare(
        Runs(CLASS_NAMES, runs.labels, {Run("net", a, s): lucky for s, a in enumerate(("original", "mixup"))})
    )
    assert apart.differences.empty


def test_diffusion_is_compared_with_each_cheap_remedy_and_other_generator():
    """Which is which follows from the images that an arm trains on, not from its name."""
    right = {"original": 40, "diffusion": 60, "flow": 50, "synthetic_noise": 55, "twice": 58}
    generators = {"diffusion": "ddpm", "twice": "ddpm", "flow": "flow"}
    found = compare(runs_with({"net": right}, seeds=2), generators=generators)
    pairs = set(zip(found.differences["arm"], found.differences["reference"], strict=True))
    assert pairs == {("diffusion", "flow"), ("diffusion", "synthetic_noise")} | {
        (arm, "original") for arm in right.keys() - {"original"}
    }
    assert row(found.differences, RARE, "recall", reference="flow")["difference"] == pytest.approx(0.1)
    assert found.cheap == {"synthetic_noise"}
    assert "the cheap remedy (synthetic noise)" in judge(found, RARE).headline


@pytest.mark.parametrize(
    ("arms", "outcome", "text"),
    [
        ({"original": 40, "diffusion": 85}, "better", "Diffusion raises cigar-shaped smooth F1 by 0.347 ["),
        ({"original": 40, "diffusion": 85}, "better", "no cheap remedy was trained to compare it with"),
        ({"original": 85, "diffusion": 40}, "worse", "Diffusion lowers cigar-shaped smooth F1 by 0.347 ["),
        ({"original": 60, "diffusion": 61}, "none", "No evidence that diffusion helps"),
        (
            {"original": 40, "diffusion": 85, "oversampling": 84},
            "mixed",
            "], oversampling by +0.342 [",
        ),
        (
            {"original": 40, "diffusion": 85, "oversampling": 84},
            "mixed",
            ": no evidence that it is better than the cheap remedy (oversampling).",
        ),
        (
            {"original": 40, "diffusion": 85, "oversampling": 84, "smote": 50, "mixup": 45},
            "better",
            ": it is better than 2 of the 3 cheap remedies (SMOTE, mixup), without evidence for the others.",
        ),
        (
            {"original": 40, "diffusion": 60, "oversampling": 95},
            "mixed",
            "and it is worse than oversampling.",
        ),
        ({"original": 40}, "missing", "Not every backbone"),
        ({"diffusion": 40, "smote": 30}, "missing", "Not every backbone"),
    ],
)
def test_the_verdict_follows_the_intervals(arms, outcome, text):
    verdict = judge(compared(**arms), RARE)
    assert text in verdict.headline
    assert verdict.outcome == outcome
    assert verdict.headline.count(". ") == 0


def test_further_arms_weaken_each_other_but_not_the_question():
    """Alone an interval may exclude 0; beside many other arms it is no evidence, but for the arm asked about."""
    lucky = {"original": 60, "diffusion": 66, "mixup": 66}
    few = judge(compared(**lucky), RARE).findings
    many = judge(compared(**lucky, **{f"remedy{i}": 60 for i in range(12)}), RARE)

    def of_rare_class(findings, arm):
        return findings[(findings[["arm", "reference", "galaxy_class"]] == [arm, "original", RARE]).all(axis=1)].iloc[0]

    asked, other = (of_rare_class(many.findings, arm) for arm in ("diffusion", "mixup"))
    assert asked["p_holm"] == of_rare_class(few, "diffusion")["p_holm"]
    assert other["p_holm"] > of_rare_class(few, "mixup")["p_holm"]
    assert (asked["outcome"], other["outcome"]) == ("better", "uncertain")
    assert any("for the 52 others among themselves" in line for line in many.caveats)


def test_one_training_run_is_a_hint_whatever_its_interval():
    """Its interval is of other galaxies; another training may come out otherwise, so nothing is judged by it."""
    once = judge(compared(seeds=1, original=40, diffusion=85, mixup=40), RARE)
    assert once.outcome == "none"
    assert set(once.findings["outcome"]) == {"hint", "none"}
    assert once.findings["p_holm"].isna().all()
    assert once.headline.startswith("A hint, no evidence, from one training run: diffusion changes")
    assert "one training run: a hint" in once.sentences[0]
    assert not any("after Holm" in line for line in once.sentences + once.caveats)


def test_arms_that_were_trained_once_neither_lose_nor_weaken_the_others():
    runs = runs_with({"net": {"original": 40, "diffusion": 85, "oversampling": 40}}, seeds=2)
    few = judge(compare(runs), RARE)
    for arm in ("mixup", "smote"):
        runs.predictions[Run("net", arm, 0)] = runs.predictions[Run("net", "original", 0)]
    many = judge(compare(runs), RARE)
    assert (
        "it is better than 1 of the 3 cheap remedies (oversampling), without evidence for the others" in many.headline
    )
    assert many.headline.endswith("; 2 of them were trained once, which gives hints only.")
    findings = many.findings[many.findings["seeds"] > 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(findings, few.findings)
    starred = arm_tables.per_class(compare(runs), RARE, {})["table3"].frame
    assert starred.loc[starred["arm"] == "mixup", "p_holm"].isna().all()


def test_the_verdict_is_on_the_mean_of_the_backbones():
    runs = runs_with({"a": {"original": 40, "diffusion": 85}, "b": {"original": 50, "diffusion": 50}})
    verdict = judge(compare(runs), RARE)
    assert set(verdict.findings["backbone"]) == {MEAN}
    assert "(mean of 2 backbones)" in verdict.headline
    lone = runs_with({"a": {"original": 40, "diffusion": 85}, "b": {"original": 50}})
    assert judge(compare(lone), RARE).outcome == "missing"


def test_what_other_classes_paid_is_said():
    runs = runs_with({"net": {"original": 40, "diffusion": 85}}, seeds=2)
    for seed in range(2):  # edge-ons that the augmented runs take for cigars
        runs.predictions[Run("net", "diffusion", seed)][300:330] = CIGAR
    verdict = judge(compare(runs), RARE)
    assert any("other classes became worse: Edge-on recall" in line for line in verdict.caveats)
    assert "edge-on recall, Diffusion minus Original: -0.300" in verdict.sentences[-1]
    unharmed = judge(compared(original=40, diffusion=85), RARE)
    assert not any("other classes" in line for line in unharmed.caveats)


def test_the_verdict_names_what_is_too_small_to_see():
    verdict = judge(compare(runs_with({"net": {"original": 10, "diffusion": 11}}, per_class=19)), RARE)
    assert "net, cigar-shaped smooth F1, Diffusion minus Original: +0.044 [" in verdict.sentences[0]
    assert any("With 19 cigar-shaped smooth test galaxies a true change of 0." in line for line in verdict.caveats)
    assert any("One training run an arm" in line for line in verdict.caveats)


def test_table_1_gives_the_rules_and_says_where_they_were_not_applied():
    table = dataset_tables.selection(BUILD)
    assert table.frame["here"].tolist() == [950, 930, 66, 541, 926]
    assert table.frame["public_labels"].sum() == 28_793
    assert table.frame["threshold"][CIGAR] == "f_smooth ≥ 0.469 and f_cigar_shaped ≥ 0.500"
    assert any("the rules were not applied" in note for note in table.notes)
    rules = [{"galaxy_class": "spiral", "conditions": [{"column": "Class3.1", "threshold": 0.5, "quantity": "f_bar"}]}]
    own = dataset_tables.selection(BUILD | {"source": "kaggle", "rules": rules})
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
    assert BUILD["notes"][0] in table.notes


def test_a_class_that_the_paper_does_not_know_has_no_figures_of_the_paper():
    build = {
        "source": "image_folder",
        "rules": None,
        "classes": ["ring"],
        "counts": {"train": {"ring": 7}},
        "notes": [],
    }
    assert [cell.text for cell in dataset_tables.selection(build).rows[0]] == ["Ring", "–", "–", "–", "–", "7"]
    assert [cell.text for cell in dataset_tables.composition(build, {}).rows[0]][-3:] == ["–"] * 3


def test_table_3_has_every_arm_and_marks_the_differences_that_stand_out():
    arms = {"up": {"original": 40, "diffusion": 85, "smote": 41}, "even": {"original": 50, "diffusion": 50}}
    runs = runs_with(arms, seeds=2)
    shown = arm_tables.per_class(compare(runs), RARE, {})
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
    assert up[6].text == "+0.347 ▲*"
    assert up[6].tone == "better"
    assert table.rows[2][6].text == "–"
    assert table.rows[6][6].tone == ""
    assert len(table.frame) == 7 * 5 * 3
    assert all(other.frame is None for name, other in shown.items() if name != "table3")


def test_table_4_counts_the_galaxies_of_mcnemars_test():
    runs = runs_with({"up": {"original": 40, "diffusion": 85}, "even": {"original": 50, "diffusion": 50}})
    table = arm_tables.macro(compare(runs, np.array([8, 8, 1, 4, 8])), {})
    cells = {(cells[0].text, cells[1].text): [cell.text for cell in cells] for cells in table.rows}
    assert cells["up", "Diffusion"][-3:] == ["45 : 0", "5.7e-14", "1.1e-13"]
    assert cells["even", "Diffusion"][-3:] == ["0 : 0", "1", "1"]
    assert cells["up", "Original"][-3:] == ["–"] * 3
    assert any("for 2 tests" in note for note in table.notes)
    up = cells["up", "Diffusion"]
    natural = (28 + 0.85) / 29
    assert up[7:10] == ["0.970", "0.970", f"{natural:.3f}"]
    without = arm_tables.macro(compare(runs), {})
    assert "Natural mix" not in without.columns
    assert len(without.columns) == len(without.rows[0]) == len(table.columns) - 1


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
    for table in (arm_tables.macro(comparison, steps), arm_tables.per_class(comparison, RARE, steps)["table3"]):
        assert [says in note for note in table.notes if "steps" in note] == ([True] if says else [])


def test_with_one_arm_the_differences_are_dashes():
    comparison = compared(original=40)
    for table in (arm_tables.per_class(comparison, RARE, {})["table3"], arm_tables.macro(comparison, {})):
        assert "–" in [cell.text for cell in table.rows[0]]
        assert "nan" not in table.markdown


def test_table_6_says_what_the_test_set_can_see():
    comparison = compared(original=40, diffusion=50, mixup=60)
    table = arm_tables.detectable(comparison, 60)
    assert table.frame["discordance"].tolist() == pytest.approx([0, 0, 0.15, 0, 0])
    cigar = table.frame.iloc[CIGAR]
    assert 0.1 < cigar["alone"] < 0.15
    assert np.isnan(cigar["corrected"])
    assert table.rows[CIGAR][-1].text == "none"


def test_markdown_has_a_cell_a_column():
    comparison = compared(original=40, diffusion=85, smote=60)
    every = [
        dataset_tables.selection(BUILD),
        dataset_tables.composition(BUILD, {}),
        dataset_tables.composition(BUILD, {"generated": {RARE: 1}}),
    ]
    every += [*arm_tables.per_class(comparison, RARE, {}).values(), arm_tables.macro(comparison, {})]
    every += [arm_tables.detectable(comparison, 6), arm_tables.comparisons(judge(comparison, RARE).findings)]
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
