"""The morphology rules as a table: which votes make a galaxy a clean sample of which class."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

CLASS_NAMES = ("completely_round_smooth", "in_between_smooth", "cigar_shaped_smooth", "edge_on", "spiral")

ANSWERS_PER_QUESTION = (3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6)
"""Number of answers of each of the eleven questions of the GZ2 tree (Willett et al. 2013, table 2)."""

VOTE_COLUMNS = tuple(
    f"Class{question}.{answer}"
    for question, answers in enumerate(ANSWERS_PER_QUESTION, start=1)
    for answer in range(1, answers + 1)
)
"""The 37 vote fractions, by their Kaggle column names."""


@dataclass(frozen=True)
class Condition:
    """A vote fraction and the least value it must have.

    Attributes
    ----------
    task : str
        The question in the GZ2 tree, as the paper numbers it.
    column : str
        Column of ``training_solutions_rev1.csv``.
    quantity : str
        The paper's name of the fraction.
    threshold : float
        Inclusive lower limit, in [0, 1].
    """

    task: str
    column: str
    quantity: str
    threshold: float


@dataclass(frozen=True)
class Rule:
    """The conditions that a clean sample of a class meets, all of them.

    Attributes
    ----------
    galaxy_class : str
    conditions : tuple of Condition
    paper_count : int
        Clean samples printed in the paper's Table 1.
    expected_count : int
        Clean samples that the rule finds among the 61,578 rows of the public file.
    """

    galaxy_class: str
    conditions: tuple[Condition, ...]
    paper_count: int
    expected_count: int


# Kaggle's values are already multiplied by the parent answer's, so the thresholds act on them as they are. The paper's
# Table 1 swaps the tasks of the in-between row and prints 0.450 for cigars, which contradicts its own Table 2.
SMOOTH = Condition("T01", "Class1.1", "f_smooth", 0.469)
FEATURES = Condition("T01", "Class1.2", "f_features/disk", 0.430)
RULES = (
    Rule(CLASS_NAMES[0], (SMOOTH, Condition("T07", "Class7.1", "f_completely_round", 0.50)), 8434, 8436),
    Rule(CLASS_NAMES[1], (SMOOTH, Condition("T07", "Class7.2", "f_in_between", 0.50)), 8069, 8069),
    Rule(CLASS_NAMES[2], (SMOOTH, Condition("T07", "Class7.3", "f_cigar_shaped", 0.50)), 578, 579),
    Rule(CLASS_NAMES[3], (FEATURES, Condition("T02", "Class2.1", "f_edge_on,yes", 0.602)), 3903, 3903),
    Rule(
        CLASS_NAMES[4],
        (
            FEATURES,
            Condition("T02", "Class2.2", "f_edge_on,no", 0.715),
            Condition("T04", "Class4.1", "f_spiral,yes", 0.619),
        ),
        7806,
        7806,
    ),
)


def classify(votes: pd.DataFrame, rules: tuple[Rule, ...] = RULES) -> np.ndarray:
    """Class of each galaxy by the first rule that its votes meet.

    Parameters
    ----------
    votes : DataFrame
        A row a galaxy with the columns that the rules name, values in [0, 1]. A missing value meets no condition.
    rules : tuple of Rule
        First match wins.

    Returns
    -------
    ndarray of object, shape (len(votes),)
        Class names; an empty string where no rule is met.

    Examples
    --------
    >>> classify(pd.DataFrame({c: [0.0, 0.6] for c in VOTE_COLUMNS}))[1]
    'completely_round_smooth'
    """
    galaxy_class = np.full(len(votes), "", dtype=object)
    for rule in reversed(rules):
        met = np.logical_and.reduce([votes[c.column].to_numpy() >= c.threshold for c in rule.conditions])
        galaxy_class[met] = rule.galaxy_class
    return galaxy_class
