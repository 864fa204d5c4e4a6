"""Votes that contradict the decision tree of Galaxy Zoo 2 are noticed, and those that do not are not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gz2_dataset.audit.votes import PARENTS, check_votes, vote_histograms
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.rules import CLASS_NAMES, RULES, classify
from gz2_dataset.votes import VOTE_COLUMNS

ROWS = 400


def tree_votes(seed: int = 0) -> pd.DataFrame:
    """Votes in Kaggle's convention: the answers of a question share their parent answer's value."""
    rng = np.random.default_rng(seed)
    votes = pd.DataFrame(0.0, index=range(ROWS), columns=list(VOTE_COLUMNS))
    for question in (1, 6, 2, 7, 3, 4, 5, 9, 10, 11, 8):
        columns = [column for column in VOTE_COLUMNS if column.startswith(f"Class{question}.")]
        parent = 1 if PARENTS[question] is None else votes[PARENTS[question]].to_numpy()[:, None]
        votes[columns] = parent * rng.dirichlet(np.full(len(columns), 0.5), ROWS)
    return votes


def built(source: str = "kaggle") -> BuildRecord:
    return BuildRecord(source=source, rules=RULES, classes=CLASS_NAMES, counts={})


def check(votes: pd.DataFrame, source: str = "kaggle") -> tuple[list[str], list[str]]:
    return check_votes(votes, classify(votes), built(source))


@given(st.integers(0, 2**16))
def test_votes_of_the_tree_are_sound(seed):
    votes = tree_votes(seed)
    labels = classify(votes)
    assert check_votes(votes.astype("float32").astype(float), labels, built()) == ([], [])


def test_a_vote_on_a_threshold_is_no_contradiction_in_single_precision():
    votes = pd.DataFrame(0.0, index=range(1), columns=list(VOTE_COLUMNS))
    votes[["Class1.1", "Class1.2", "Class2.1", "Class6.2"]] = 0.398, 0.602, 0.602, 1.0
    assert classify(votes)[0] == "edge_on"
    single = votes.astype("float32").astype(float)
    assert classify(single)[0] == ""
    assert check_votes(single, np.array(["edge_on"], object), built()) == ([], [])


@pytest.mark.parametrize("value", [np.nan, -0.2, 1.5, np.inf])
def test_values_that_are_no_fractions_are_a_problem(value):
    votes = tree_votes()
    votes.loc[[3, 5], "Class8.6"] = value
    problems, _ = check(votes)
    assert "vote fractions that are not a number from 0 to 1: 2 galaxies" in problems


@pytest.mark.parametrize("question", PARENTS)
def test_each_question_is_held_against_its_parent(question):
    votes = tree_votes()
    columns = [column for column in VOTE_COLUMNS if column.startswith(f"Class{question}.")]
    parent = PARENTS[question]
    rows = votes.index if parent is None else votes.index[votes[parent].between(0.1, 0.8)]
    few, many = rows[:3], rows[:20]
    if parent is None:
        expected = f"the answers of question {question} do not add up to 1"
    else:
        expected = f"the answers of question {question} exceed {parent}, their parent answer"
    for chosen, serious in ((few, False), (many, True)):
        wrong = votes.copy()
        wrong.loc[chosen, columns] *= 1.2 if parent else 0.5
        problems, warnings = check(wrong)
        assert f"{expected}: {len(chosen)} galaxies" in (problems if serious else warnings)
        assert not any(expected in line for line in (warnings if serious else problems))


def test_fractions_of_those_who_were_asked_are_no_problem_elsewhere():
    votes = tree_votes()
    votes[["Class2.1", "Class2.2"]] = 0.5
    assert any("question 2 exceed" in line for line in check(votes)[0])
    problems, (warning,) = check(votes, source="gz2_archive")
    assert problems == []
    assert "fractions of those who were asked" in warning


def test_labels_that_do_not_follow_from_the_votes_are_a_problem():
    votes = tree_votes()
    labels = classify(votes)
    labels[:4] = np.where(labels[:4] == "spiral", "edge_on", "spiral")
    problems, _ = check_votes(votes, labels, built())
    assert problems == ["classes that the rules do not give for the votes: 4 galaxies; build again"]


def test_without_votes_nothing_is_checked():
    assert check_votes(
        pd.DataFrame(index=range(3)), np.array(["a", "b", ""], object), replace(built(), rules=None)
    ) == ([], [])


def test_histograms_count_every_galaxy_and_name_the_thresholds():
    histograms = {h["column"]: h for h in vote_histograms(tree_votes(), built())}
    assert list(histograms) == [
        *("Class1.1", "Class7.1", "Class7.2", "Class7.3"),
        *("Class1.2", "Class2.1", "Class2.2", "Class4.1"),
    ]
    assert all(sum(h["counts"]) == ROWS for h in histograms.values())
    assert histograms["Class2.2"]["thresholds"] == [0.715]
