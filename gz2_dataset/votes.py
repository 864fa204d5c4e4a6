"""The 37 vote fractions of the Galaxy Zoo 2 decision tree, and what each source calls them."""

from pathlib import Path

import pandas as pd

VOTES = pd.read_csv(Path(__file__).with_name("votes.csv"), dtype=str, keep_default_na=False)
"""One row per answer: its Kaggle column, its column in Hart et al. 2016 and on the Hub (empty where not published)."""

VOTE_COLUMNS = tuple(VOTES["column"])
"""The 37 vote fractions, by their Kaggle column names: ClassQUESTION.ANSWER of Willett et al. 2013, table 2."""


def clean_votes(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
    """Whether every vote fraction of a row is a number from 0 to 1.

    Parameters
    ----------
    table : DataFrame
        Its ``columns`` are numeric.
    columns : tuple of str

    Returns
    -------
    Series of bool
        Indexed like ``table``. Rounding may exceed the range by one part in a million.
    """
    return table[list(columns)].apply(lambda votes: votes.between(-1e-6, 1 + 1e-6)).all(axis=1)
