"""The morphology rules as a table: which votes make a galaxy a clean sample of which class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .command_line import UserError
from .reading import read_yaml
from .votes import VOTE_COLUMNS


@dataclass(frozen=True)
class Condition:
    """A vote fraction and the least value it must have.

    Attributes
    ----------
    column : str
        One of `VOTE_COLUMNS`.
    threshold : float
        Inclusive lower limit, in [0, 1].
    task : str
        The question in the GZ2 tree, as the paper numbers it.
    quantity : str
        The paper's name of the fraction.
    """

    column: str
    threshold: float
    task: str = ""
    quantity: str = ""


@dataclass(frozen=True)
class Rule:
    """The conditions that a clean sample of a class must meet, all of them.

    Attributes
    ----------
    galaxy_class : str
    conditions : tuple of Condition
    paper_count : int, optional
        Clean samples printed in the paper's Table 1.
    expected_count : int, optional
        Clean samples that the rule finds among the 61,578 rows of the public file.
    """

    galaxy_class: str
    conditions: tuple[Condition, ...]
    paper_count: int | None = None
    expected_count: int | None = None


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Read a table of rules; several rules may lead to the same class.

    Parameters
    ----------
    path : Path
        YAML: a list of rules with the attributes of `Rule`, as in ``five_class.yaml``.

    Raises
    ------
    UserError
        If it is not such a table, or has a column that is not a vote fraction or a threshold outside [0, 1].
    """
    try:
        rules = tuple(rule_of(row) for row in read_yaml(path))
    except (UserError, TypeError, KeyError) as error:
        raise UserError(
            f"{path}: no table of rules ({' '.join(str(error).split())}); write a list of galaxy_class and conditions "
            "(column, threshold), as in gz2_dataset/five_class.yaml"
        ) from None
    if not rules:
        raise UserError(f"{path}: holds no rule; write at least one")
    for condition in (c for rule in rules for c in rule.conditions):
        if condition.column not in VOTE_COLUMNS:
            raise UserError(f"{path}: {condition.column!r} is not a vote fraction; take one of Class1.1 to Class11.6")
        if not isinstance(condition.threshold, int | float) or not 0 <= condition.threshold <= 1:
            raise UserError(
                f"{path}: the threshold {condition.threshold!r} of {condition.column} is not a number from 0 to 1"
            )
    return rules


def rule_of(row: dict[str, Any]) -> Rule:
    conditions = tuple(Condition(**condition) for condition in row["conditions"])
    if not conditions or not row["galaxy_class"] or not isinstance(row["galaxy_class"], str):
        raise TypeError(f"the rule {row['galaxy_class']!r} needs a name and at least one condition")
    return Rule(**{**row, "conditions": conditions})


def classes_of(rules: tuple[Rule, ...]) -> tuple[str, ...]:
    """The classes that the rules make, in their order."""
    return tuple(dict.fromkeys(rule.galaxy_class for rule in rules))


RULES = read_rules(Path(__file__).with_name("five_class.yaml"))
"""The paper's Table 1."""

CLASS_NAMES = classes_of(RULES)


def classify(votes: pd.DataFrame, rules: tuple[Rule, ...] = RULES) -> np.ndarray:
    """Class of each galaxy by the first rule that its votes meet.

    Parameters
    ----------
    votes : DataFrame
        One row per galaxy with the columns that the rules name, values in [0, 1]. A missing value meets no condition.
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
