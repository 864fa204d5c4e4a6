"""The decision tree of Galaxy Zoo 2 (Willett et al. 2013, fig. 1): who is asked what, and the votes as counts."""

import re

import numpy as np

from .votes import VOTE_COLUMNS, VOTES

ASKED_AFTER = {
    2: ("Class1.2",),
    3: ("Class2.2",),
    4: ("Class2.2",),
    5: ("Class2.2",),
    6: ("Class1.1", "Class1.2"),
    7: ("Class1.1",),
    8: ("Class6.1",),
    9: ("Class2.1",),
    10: ("Class4.1",),
    11: ("Class4.1",),
}
"""The answers that lead to each question but the first, which everybody is asked."""
QUESTION_OF = np.array([int(column.removeprefix("Class").partition(".")[0]) for column in VOTE_COLUMNS])
"""The question, 1 to 11, of each of the 37 answers."""
NAMES = {
    int(number): name for number, name in (re.findall(r"^t(\d+)_(.+)_a\d+_", column)[0] for column in VOTES["hart16"])
}
"""The questions as Hart et al. 2016 name them."""


def answers_of(question: int) -> slice:
    """Where the answers of a question are among `VOTE_COLUMNS`."""
    places = [i for i, of in enumerate(QUESTION_OF.tolist()) if of == question]
    return slice(places[0], places[-1] + 1)


def fractions(votes: np.ndarray) -> np.ndarray:
    """The share of those who were asked a question that gave each of its answers.

    Kaggle's columns are shares of all volunteers, those of Hart et al. of who was asked; both give the same here.

    Parameters
    ----------
    votes : ndarray, shape (N, 37)
        In the order of `VOTE_COLUMNS`.

    Returns
    -------
    ndarray of float64, shape (N, 37)
        The answers of a question add up to 1; NaN where nobody was asked.

    Examples
    --------
    >>> kaggle = np.zeros((1, 37))
    >>> kaggle[0, :5] = 0.6, 0.4, 0, 0.1, 0.3  # of all: 40 % features, of which a quarter saw a disc edge-on
    >>> fractions(kaggle)[0, 3:5]
    array([0.25, 0.75])
    """
    votes = np.asarray(votes, np.float64)
    found = np.full(votes.shape, np.nan)
    for question in NAMES:
        places = answers_of(question)
        asked = votes[:, places].sum(axis=1, keepdims=True)
        np.divide(votes[:, places], asked, out=found[:, places], where=asked > 0)
    return found


def counts(votes: np.ndarray, volunteers: float) -> np.ndarray:
    """How many volunteers gave each answer, if that many looked at the galaxy.

    Parameters
    ----------
    votes : ndarray, shape (N, 37)
    volunteers : float

    Returns
    -------
    ndarray of float64, shape (N, 37)
        Not whole where the fractions are weighted or rounded.

    Examples
    --------
    >>> kaggle = np.zeros((1, 37))
    >>> kaggle[0, :5] = 0.6, 0.4, 0, 0.1, 0.3
    >>> counts(kaggle, 40)[0, :5]
    array([24., 16.,  0.,  4., 12.])
    """
    shares = np.nan_to_num(fractions(votes))
    reached = {1: np.ones(len(shares))}
    for question, answers in ASKED_AFTER.items():
        parent = int(QUESTION_OF[VOTE_COLUMNS.index(answers[0])])
        reached[question] = reached[parent] * sum(shares[:, VOTE_COLUMNS.index(answer)] for answer in answers)
    return volunteers * shares * np.stack([reached[int(question)] for question in QUESTION_OF], axis=1)
