"""Do the vote fractions of a dataset make sense, and do its labels follow from them?"""

from typing import Any

import numpy as np
import pandas as pd

from gz2_dataset.build_record import BuildRecord
from gz2_dataset.rules import classify
from gz2_dataset.votes import VOTE_COLUMNS, clean_votes

KAGGLE_LIKE = ("kaggle", "mock")
PARENTS = {
    **dict.fromkeys((1, 6), None),
    **{2: "Class1.2", 7: "Class1.1", 3: "Class2.2", 4: "Class2.2", 5: "Class2.2", 9: "Class2.1"},
    **{10: "Class4.1", 11: "Class4.1", 8: "Class6.1"},
}
"""The answer to whose value the answers of a question add up in Kaggle's table; None if to 1: everybody is asked."""

TOLERANCE = 0.01
ROUNDING = 1e-6
TOLERATED_SHARE = 0.01
BINS = 25


def check_votes(votes: pd.DataFrame, labels: np.ndarray, record: BuildRecord) -> tuple[list[str], list[str]]:
    """What is wrong with vote fractions, and what is worth knowing about them.

    Parameters
    ----------
    votes : DataFrame
        Columns from `VOTE_COLUMNS`, one row per galaxy; without columns nothing is checked.
    labels : ndarray of str
        Class of each galaxy; empty for none.
    record : BuildRecord
        Its source matters, as votes are products with the parent answer's only for Kaggle's table and mock galaxies,
        and its rules.

    Returns
    -------
    problems, warnings : list of str
    """
    if not len(votes.columns):
        return [], []
    problems, warnings = [], []
    if unclean := int((~clean_votes(votes, tuple(votes.columns))).sum()):
        problems.append(f"vote fractions that are not a number from 0 to 1: {unclean:,} galaxies")
    if record.source in KAGGLE_LIKE and set(VOTE_COLUMNS) <= set(votes.columns):
        for line, rows in tree_violations(votes):
            serious = rows > TOLERATED_SHARE * len(votes)
            (problems if serious else warnings).append(f"{line}: {rows:,} galaxies")
    elif record.rules:
        warnings.append(
            "the votes are fractions of those who were asked; the paper's thresholds act on Kaggle's, which are "
            "multiplied by the parent answer's value, so they find other galaxies here"
        )
    if record.rules:
        # Votes are stored in single precision, so one on a threshold may fall on either side.
        by_rules = [classify(votes + shift, record.rules) for shift in (-ROUNDING, ROUNDING)]
        hidden = (labels == "") & np.isin(by_rules, list(record.hidden)).any(axis=0)
        if wrong := int(((labels != by_rules[0]) & (labels != by_rules[1]) & ~hidden).sum()):
            problems.append(f"classes that the rules do not give for the votes: {wrong:,} galaxies; build again")
    return problems, warnings


def tree_violations(votes: pd.DataFrame) -> list[tuple[str, int]]:
    """Sums of answers that contradict the decision tree: a line, and the number of galaxies."""
    found = []
    for question, parent in PARENTS.items():
        total = votes[[c for c in VOTE_COLUMNS if c.startswith(f"Class{question}.")]].sum(axis=1)
        if parent is None:
            rows = int(((total - 1).abs() > TOLERANCE).sum())
            line = f"the answers of question {question} do not add up to 1"
        else:
            rows = int((total > votes[parent] + TOLERANCE).sum())
            line = f"the answers of question {question} exceed {parent}, their parent answer"
        if rows:
            found.append((line, rows))
    return found


def vote_histograms(votes: pd.DataFrame, record: BuildRecord) -> list[dict[str, Any]]:
    """Histogram of each vote fraction that a rule uses, with the thresholds.

    Returns
    -------
    list of dict
        Keys column, quantity, thresholds and counts (of 25 equal bins from 0 to 1).
    """
    conditions = [c for rule in record.rules or [] for c in rule.conditions if c.column in votes.columns]
    return [
        {
            "column": column,
            "quantity": next(c.quantity for c in conditions if c.column == column),
            "thresholds": sorted({c.threshold for c in conditions if c.column == column}),
            "counts": np.histogram(votes[column], BINS, (0, 1))[0].tolist(),
        }
        for column in dict.fromkeys(c.column for c in conditions)
    ]
