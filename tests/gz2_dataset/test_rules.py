"""The table of rules against the thresholds of the paper's text, as NOTES on the paper correct them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gz2_dataset import CLASS_NAMES, RULES, VOTE_COLUMNS, classify

ROUND, IN_BETWEEN, CIGAR, EDGE_ON, SPIRAL = CLASS_NAMES
THRESHOLDS = {
    ROUND: {"Class1.1": 0.469, "Class7.1": 0.50},
    IN_BETWEEN: {"Class1.1": 0.469, "Class7.2": 0.50},
    CIGAR: {"Class1.1": 0.469, "Class7.3": 0.50},
    EDGE_ON: {"Class1.2": 0.430, "Class2.1": 0.602},
    SPIRAL: {"Class1.2": 0.430, "Class2.2": 0.715, "Class4.1": 0.619},
}


def votes(**values: float) -> pd.DataFrame:
    return pd.DataFrame({column: [values.get(column, 0.0)] for column in VOTE_COLUMNS})


@pytest.mark.parametrize(
    ("galaxy_class", "column"), [(name, column) for name, limits in THRESHOLDS.items() for column in limits]
)
@pytest.mark.parametrize(("offset", "passes"), [(-1e-6, False), (0.0, True), (1e-6, True)])
def test_each_threshold_is_inclusive(galaxy_class, column, offset, passes):
    at_the_limits = THRESHOLDS[galaxy_class]
    table = votes(**{**at_the_limits, column: at_the_limits[column] + offset})
    assert classify(table)[0] == (galaxy_class if passes else "")


def test_the_first_match_wins():
    table = votes(**{"Class1.1": 0.5, "Class7.1": 0.5, "Class7.2": 0.5, "Class1.2": 0.5, "Class2.1": 0.7})
    assert classify(table)[0] == ROUND


def test_a_missing_vote_meets_no_rule():
    assert classify(votes(**{**THRESHOLDS[SPIRAL], "Class4.1": float("nan")}))[0] == ""


def test_expected_counts_are_those_of_the_public_label_lists():
    assert [rule.expected_count for rule in RULES] == [8436, 8069, 579, 3903, 7806]
    assert len(VOTE_COLUMNS) == 37


@given(st.lists(st.floats(0, 1), min_size=37, max_size=37))
def test_a_class_is_given_exactly_when_its_conditions_hold(values):
    galaxy = dict(zip(VOTE_COLUMNS, values, strict=True))
    first = next((name for name, limits in THRESHOLDS.items() if all(galaxy[c] >= v for c, v in limits.items())), "")
    assert classify(votes(**galaxy))[0] == first


def test_rows_do_not_influence_each_other():
    table = pd.DataFrame(np.random.default_rng(0).random((200, 37)), columns=list(VOTE_COLUMNS))
    one_by_one = [classify(table.iloc[[i]])[0] for i in range(len(table))]
    assert classify(table).tolist() == one_by_one
