"""Simulated votes: they obey the GZ2 tree, and the paper's rules find in them the galaxies that were meant."""

import numpy as np
import pandas as pd
import pytest

from gz2_dataset.mock.population import Galaxy, draw_galaxy
from gz2_dataset.mock.survey import simulated_votes
from gz2_dataset.mock.volunteers import answer_probabilities, observed_axis_ratio
from gz2_dataset.rules import VOTE_COLUMNS

SEED, COUNT = 11, 3000
PARENTS = {2: "Class1.2", 3: "Class2.2", 4: "Class2.2", 5: "Class2.2", 7: "Class1.1", 8: "Class6.1", 9: "Class2.1",
           10: "Class4.1", 11: "Class4.1"}  # fmt: skip


@pytest.fixture(scope="module")
def votes() -> pd.DataFrame:
    return pd.DataFrame([simulated_votes(SEED, index) for index in range(COUNT)], columns=VOTE_COLUMNS)


@pytest.fixture(scope="module")
def kinds() -> np.ndarray:
    return np.array([draw_galaxy(SEED, index).kind for index in range(COUNT)])


def kind_by_rules(votes: pd.DataFrame) -> np.ndarray:
    """The rules of the paper's Table 1 as corrected, written out; first match wins."""
    smooth, features = votes["Class1.1"] >= 0.469, votes["Class1.2"] >= 0.430
    conditions = [
        smooth & (votes["Class7.1"] >= 0.50),
        smooth & (votes["Class7.2"] >= 0.50),
        smooth & (votes["Class7.3"] >= 0.50),
        features & (votes["Class2.1"] >= 0.602),
        features & (votes["Class2.2"] >= 0.715) & (votes["Class4.1"] >= 0.619),
    ]
    return np.select(conditions, ["round", "in_between", "cigar", "edge_on", "spiral"], "")


def answers(votes: pd.DataFrame, question: int) -> pd.DataFrame:
    return votes[[column for column in VOTE_COLUMNS if column.startswith(f"Class{question}.")]]


def test_votes_are_fractions(votes: pd.DataFrame):
    assert votes.shape == (COUNT, 37)
    assert ((votes >= 0) & (votes <= 1)).all(axis=None)


@pytest.mark.parametrize("question", [1, 6])
def test_questions_asked_of_all_add_up_to_one(question: int, votes: pd.DataFrame):
    np.testing.assert_allclose(answers(votes, question).sum(axis=1), 1)


@pytest.mark.parametrize(("question", "parent"), PARENTS.items())
def test_answers_add_up_to_the_answer_that_leads_to_them(question: int, parent: str, votes: pd.DataFrame):
    np.testing.assert_allclose(answers(votes, question).sum(axis=1), votes[parent], atol=1e-12)


def test_rules_find_the_intended_kinds(votes: pd.DataFrame, kinds: np.ndarray):
    found = kind_by_rules(votes)
    passing = found != ""
    assert 0.05 < 1 - passing.mean() < 0.25
    assert (found == kinds)[passing].mean() >= 0.90
    shares = pd.Series(found[passing]).value_counts(normalize=True)
    assert shares.idxmin() == "cigar"
    assert 0.01 < shares["cigar"] < 0.08
    assert (shares.drop("cigar") > 0.08).all()


def test_every_kind_is_mostly_found(votes: pd.DataFrame, kinds: np.ndarray):
    found = kind_by_rules(votes)
    for kind in ("round", "in_between", "cigar", "edge_on", "spiral"):
        assert (found == kind)[kinds == kind].mean() > 0.6


def test_probabilities_of_each_question_add_up_to_one():
    for index in range(300):
        for chance in answer_probabilities(draw_galaxy(SEED, index)).values():
            assert chance.min() >= 0
            assert chance.sum() == pytest.approx(1)


def spiral(**changes: float) -> Galaxy:
    drawn = (draw_galaxy(SEED, index) for index in range(1000))
    return Galaxy(**(vars(next(galaxy for galaxy in drawn if galaxy.kind == "spiral")) | changes))


def test_seeing_hides_arms_and_rounds_galaxies():
    sharp, blurred = spiral(psf_fwhm=0.5), spiral(psf_fwhm=4.0)
    assert answer_probabilities(sharp)[4][0] > answer_probabilities(blurred)[4][0]
    assert answer_probabilities(sharp)[1][1] > answer_probabilities(blurred)[1][1]
    assert observed_axis_ratio(sharp) < observed_axis_ratio(blurred)


def test_faint_arms_are_missed():
    assert answer_probabilities(spiral(arm_strength=0.6))[4][0] > 0.8
    assert answer_probabilities(spiral(arm_strength=0.0))[4][0] < 0.2


@pytest.mark.parametrize(("arms", "column"), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (7, 4)])
def test_the_likeliest_arm_number_is_the_true_one(arms: int, column: int):
    assert answer_probabilities(spiral(arm_count=arms))[11].argmax() == column
