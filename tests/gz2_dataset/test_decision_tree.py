"""Votes as fractions of who was asked, and as counts, from both layouts."""

import numpy as np
import pytest

from gz2_dataset import VOTE_COLUMNS
from gz2_dataset.decision_tree import ASKED_AFTER, NAMES, QUESTION_OF, answers_of, counts, fractions
from gz2_dataset.mock.population import draw_galaxy
from gz2_dataset.mock.volunteers import vote_fractions


def simulated(n: int) -> np.ndarray:
    return np.stack([vote_fractions(draw_galaxy(0, i), np.random.default_rng(i)) for i in range(n)])


def test_the_tree_has_37_answers_to_eleven_questions():
    assert sorted(NAMES) == list(range(1, 12))
    assert NAMES[7] == "rounded"
    assert [VOTE_COLUMNS[answers_of(3)][0], VOTE_COLUMNS[answers_of(11)][-1]] == ["Class3.1", "Class11.6"]
    assert {answer for answers in ASKED_AFTER.values() for answer in answers} <= set(VOTE_COLUMNS)


def test_counts_of_simulated_volunteers_are_whole_again():
    """Each is a number of people: everybody answers question 1, and who answers an answer is asked what it leads to."""
    votes = simulated(40)
    for row in votes:
        number = (counts(row[None], n)[0] for n in range(20, 80))
        found = next(people for people in number if np.allclose(people, people.round(), atol=1e-6))
        asked = {question: found[answers_of(question)].sum() for question in NAMES}
        assert asked[1] >= 20
        for question, answers in ASKED_AFTER.items():
            assert asked[question] == pytest.approx(sum(found[VOTE_COLUMNS.index(answer)] for answer in answers))


def test_both_layouts_say_the_same():
    votes = simulated(20)
    of_asked = np.nan_to_num(fractions(votes))
    np.testing.assert_allclose(counts(of_asked, 40), counts(votes, 40), atol=1e-9)
    sums = np.stack([fractions(votes)[:, question == QUESTION_OF].sum(axis=1) for question in NAMES])
    assert np.allclose(sums[np.isfinite(sums)], 1)
