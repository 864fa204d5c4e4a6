"""What the rules find is set beside the paper's figures, and each difference has its reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gz2_dataset.audit.counts import PUBLIC_ROWS, count_classes, count_text
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.rules import CLASS_NAMES, RULES, Condition, Rule, classify
from gz2_dataset.votes import VOTE_COLUMNS

PUBLIC_LIST = Path(__file__).parents[4] / "shared/data/gz2-labels/kaggle_five_class_28793.csv"
PUBLIC = {rule.galaxy_class: rule.expected_count for rule in RULES}


def record(found: dict[str, int], **changes) -> BuildRecord:
    built = {"source": "kaggle", "rules": RULES, "classes": CLASS_NAMES, "rows": PUBLIC_ROWS}
    return BuildRecord(**{**built, "found": found, "counts": {"train": dict(found)}, **changes})


@pytest.mark.skipif(not PUBLIC_LIST.exists(), reason="needs the public list of classes")
def test_votes_of_the_public_list_give_its_counts():
    classes = pd.read_csv(PUBLIC_LIST)["galaxy_class"]
    votes = pd.DataFrame(0.0, index=range(PUBLIC_ROWS), columns=list(VOTE_COLUMNS))
    for rule in RULES:
        rows = np.flatnonzero(classes == rule.galaxy_class)
        for condition in rule.conditions:
            votes.loc[rows, condition.column] = condition.threshold
    found = pd.Series(classify(votes)).value_counts()
    text = count_text(count_classes(record({name: int(found[name]) for name in CLASS_NAMES})))
    figures = [line.split()[1] for line in text.splitlines()]
    assert figures == ["8436", "8069", "579", "3903", "7806"]


def test_the_public_file_differs_from_the_paper_where_the_paper_is_misprinted():
    rows = {row.galaxy_class: row for row in count_classes(record(PUBLIC))}
    assert [row.found - row.paper for row in rows.values()] == [2, 0, 1, 0, 0]
    assert "479 + 100 = 579" in rows["cigar_shaped_smooth"].explanation
    assert "two more than the paper" in rows["completely_round_smooth"].explanation
    assert {rows[name].explanation for name in ("in_between_smooth", "edge_on", "spiral")} == {"as in the paper"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows": 1000}, "1,000 rows instead of the 61,578"),
        ({}, "votes differ from the public file: -79"),
        ({"source": "gz2_archive"}, "fractions of those who were asked"),
        ({"source": "mock"}, "drawn galaxies"),
    ],
)
def test_other_counts_are_explained_by_what_the_source_is(changes, reason):
    rows = count_classes(record({**PUBLIC, "cigar_shaped_smooth": 500}, **changes))
    assert reason in rows[2].explanation


def test_galaxies_that_were_left_out_are_counted():
    built = record(PUBLIC, counts={"train": {**PUBLIC, "spiral": 7000}, "test": {"spiral": 800}})
    (spiral,) = [row for row in count_classes(built) if row.galaxy_class == "spiral"]
    assert (spiral.found, spiral.kept) == (7806, 7800)
    assert "6 of them left out" in spiral.explanation


def test_classes_of_the_source_are_counted_without_a_rule():
    built = record({}, rules=None, classes=("ring",), counts={"train": {"ring": 3}, "test": {"ring": 1}})
    (ring,) = count_classes(built)
    assert (ring.kept, ring.found, ring.expected, ring.rule, ring.explanation) == (4, None, None, "", "")


def test_several_rules_of_a_class_are_counted_together():
    rules = tuple(Rule("bar", (Condition(column, 0.5),)) for column in ("Class3.1", "Class8.6"))
    (bar,) = count_classes(record({"bar": 7}, rules=rules, classes=("bar",)))
    assert bar.rule == "Class3.1 ≥ 0.5, or Class8.6 ≥ 0.5"
    assert (bar.found, bar.explanation) == (7, "")
