"""Tables say what the predictions say, and the verdict no more than the intervals allow."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support

from galaxy_diffusion import paper, tables
from galaxy_diffusion.comparison import compare, judge
from galaxy_diffusion.study import Runs
from gz2_dataset import CLASS_NAMES

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


def runs_with(cigars_right: list[int], arms=("original", "augmented"), per_class: int = 100) -> Runs:
    """One seed an arm in which so many cigars are right, the rest called edge-on; all others are right."""
    labels = np.repeat(np.arange(5), per_class)
    predictions = np.tile(labels, (len(cigars_right), 1, 1))
    for arm, right in enumerate(cigars_right):
        predictions[arm, 0, CIGAR * per_class + right : (CIGAR + 1) * per_class] = 3
    return Runs(CLASS_NAMES, labels, arms, (0,), predictions)


def row(frame: pd.DataFrame, galaxy_class: str, metric: str) -> pd.Series:
    return frame[(frame["galaxy_class"] == galaxy_class) & (frame["metric"] == metric)].iloc[0]


def test_the_compared_figures_are_scikit_learns_averaged_over_seeds():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 40)
    predictions = np.where(rng.random((2, 3, 200)) < 0.7, labels, rng.integers(0, 5, (2, 3, 200)))
    frame = compare({"net": Runs(CLASS_NAMES, labels, ("original", "augmented"), (0, 1, 2), predictions)})
    for arm, of_arm in zip(("original", "augmented"), predictions, strict=True):
        expected = np.mean([precision_recall_fscore_support(labels, p)[:3] for p in of_arm], axis=0)
        macro = np.mean([precision_recall_fscore_support(labels, p, average="macro")[:3] for p in of_arm], axis=0)
        for i, metric in enumerate(("precision", "recall", "f1")):
            assert [row(frame, name, metric)[arm] for name in CLASS_NAMES] == pytest.approx(expected[i])
            assert row(frame, "macro", metric)[arm] == pytest.approx(macro[i])
        assert row(frame, "all", "accuracy")[arm] == pytest.approx((of_arm == labels).mean())
    assert (frame["difference"] == frame["augmented"] - frame["original"]).all()
    assert set(frame["seeds"]) == {3}
    assert frame.groupby("galaxy_class", sort=False)["n"].first().tolist() == [40] * 5 + [200] * 2


@pytest.mark.parametrize(
    ("backbones", "outcome", "text"),
    [
        ({"a": runs_with([40, 85])}, "better", "helped in 3 of 3 comparisons and harmed in none"),
        ({"a": runs_with([85, 40])}, "worse", "made it worse in 3 of 3 comparisons and better in none"),
        ({"a": runs_with([60, 62])}, "none", "No evidence that augmentation helped or harmed in any of 3"),
        ({"a": runs_with([40, 85]), "b": runs_with([85, 40])}, "mixed", "helped in 3 and harmed in 3 of 6"),
        ({"a": runs_with([40, 85]), "b": runs_with([50, 50])}, "better", "helped in 3 of 6"),
        ({"a": runs_with([40], ("original",))}, "missing", "No backbone"),
    ],
)
def test_the_verdict_follows_the_intervals(backbones, outcome, text):
    verdict = judge(compare(backbones), "cigar_shaped_smooth")
    assert verdict.outcome == outcome
    assert text in verdict.headline


def test_a_difference_that_many_comparisons_explain_does_not_count():
    """Alone an interval may exclude 0; among thirty-six comparisons it is no evidence."""
    lucky, even = runs_with([60, 66]), runs_with([60, 60])
    alone = judge(compare({"lucky": lucky}), "cigar_shaped_smooth")
    among = judge(compare({"lucky": lucky} | {f"even{i}": even for i in range(11)}), "cigar_shaped_smooth")
    assert alone.outcome == "better"
    assert among.outcome == "none"
    assert (among.findings["outcome"] == "uncertain").sum() == 3
    assert any("In 3 more" in line for line in among.caveats)


def test_what_other_classes_paid_is_said():
    runs = runs_with([40, 85])
    runs.predictions[1, 0, 300:330] = CIGAR  # edge-ons that the augmented run takes for cigars
    verdict = judge(compare({"net": runs}), "cigar_shaped_smooth")
    assert "the other classes became worse in 1, see below" in verdict.headline
    assert "net, edge on recall: 1.000 to 0.700" in verdict.sentences[-1].replace("edge-on", "edge on")
    unharmed = judge(compare({"net": runs_with([40, 85])}), "cigar_shaped_smooth")
    assert "other classes" not in unharmed.headline


def test_the_verdict_names_figures_and_what_is_too_small_to_see():
    verdict = judge(compare({"net": runs_with([10, 11], per_class=19)}), "cigar_shaped_smooth")
    assert "net, cigar-shaped smooth recall: 0.526 to 0.579, +0.053 [" in verdict.sentences[0]
    assert "no evidence" in verdict.sentences[0]
    assert any("With 19 cigar-shaped smooth test galaxies" in line for line in verdict.caveats)
    assert any("One training run an arm" in line for line in verdict.caveats)


def test_table_1_gives_the_rules_and_says_where_they_were_not_applied():
    table = tables.selection(BUILD)
    assert table.frame["here"].tolist() == [950, 930, 66, 541, 926]
    assert table.frame["public_labels"].sum() == 28_793
    assert table.frame["threshold"][CIGAR] == "f_smooth ≥ 0.469 and f_cigar_shaped ≥ 0.500"
    assert any("the rules were not applied" in note for note in table.notes)
    rules = [{"galaxy_class": "spiral", "conditions": [{"column": "Class3.1", "threshold": 0.5, "quantity": "f_bar"}]}]
    own = tables.selection(BUILD | {"source": "kaggle", "rules": rules})
    assert not any("not applied" in note for note in own.notes)
    assert own.frame["threshold"].tolist() == ["", "", "", "", "f_bar ≥ 0.500"]


def test_table_2_adds_the_generated_images_to_training_only():
    table = tables.composition(BUILD, {"cigar_shaped_smooth": 442})
    cigar = table.frame.iloc[CIGAR]
    assert (cigar["train"], cigar["generated"], cigar["augmented_train"]) == (41, 442, 483)
    assert cigar["test"] == cigar["augmented_test"] == 19
    assert (table.frame["test"] == table.frame["augmented_test"]).all()
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
    assert [cell.text for cell in tables.selection(build).rows[0]] == ["Ring", "–", "–", "–", "–", "7"]
    assert [cell.text for cell in tables.composition(build, {}).rows[0]][-3:] == ["–"] * 3


def test_table_3_marks_the_better_arm_and_the_differences_that_stand_out():
    table = tables.per_class(compare({"net": runs_with([40, 85])}))
    cells = dict(zip([f"{c}{i}" for i in range(3) for c in "prf"], table.rows[CIGAR][3:], strict=True))
    assert (cells["r0"].text, cells["r1"].text) == ("0.400", "0.850")
    assert (cells["r0"].bold, cells["r1"].bold) == (False, True)
    assert cells["p0"].bold is cells["p1"].bold is False
    assert (cells["r2"].text, cells["r2"].tone) == ("+0.450 ▲*", "better")
    assert len(table.rows) == 5
    assert len(table.frame) == 15
    significant = row(table.frame, "cigar_shaped_smooth", "recall")
    assert significant["excludes_zero"]
    assert significant["p_holm"] == pytest.approx(min(1, 15 * significant["p"]), rel=0.3)
    assert not row(table.frame, "spiral", "recall")["excludes_zero"]


def test_table_4_counts_the_galaxies_of_mcnemars_test():
    table = tables.macro(compare({"up": runs_with([40, 85]), "even": runs_with([50, 50])}))
    assert [cell.text for cell in table.rows[0]][-3:] == ["45 : 0", "5.7e-14", "1.1e-13"]
    assert [cell.text for cell in table.rows[1]][-3:] == ["0 : 0", "1", "1"]
    assert any("2 backbones" in note for note in table.notes)


def test_with_one_arm_the_other_is_a_dash():
    frame = compare({"net": runs_with([40], ("original",))})
    for table in (tables.per_class(frame), tables.macro(frame)):
        texts = [cell.text for cell in table.rows[0]]
        assert "–" in texts
        assert "nan" not in table.markdown


def test_markdown_has_a_cell_a_column():
    frame = compare({"net": runs_with([40, 85])})
    every = [tables.selection(BUILD), tables.composition(BUILD, {}), tables.per_class(frame), tables.macro(frame)]
    for table in [*every, *tables.paper_tables()]:
        lines = [line for line in table.markdown.splitlines() if line.startswith("|")]
        assert len(lines) == len(table.rows) + 2
        assert {line.count(" | ") for line in lines} == {len(table.columns) - 1}


def test_the_papers_tables_3_and_4_agree_but_for_one_figure():
    """A check of the transcription: macro figures are means over the classes, of figures rounded to three places."""
    differences = {
        (backbone, column): abs(float(printed) - np.mean([float(line.split()[column]) for line in lines]))
        for backbone, lines in paper.PER_CLASS.items()
        for column, printed in enumerate(paper.MACRO[backbone].split())
    }
    assert [place for place, difference in differences.items() if difference > 0.001] == [("EfficientNetV2M", 0)]
