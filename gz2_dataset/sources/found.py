"""What a reader finds in a source."""

from collections import Counter
from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Found:
    """The galaxies that a source lists, before votes become classes.

    Attributes
    ----------
    table : DataFrame
        Columns image_id, galaxy_class or votes, file (NaN: no image), and where there are any ra, dec and split.
    vote_columns : tuple of str
    skipped : Counter of str
        Rows that are left out, by reason.
    unused : dict of str to str
        Files that are left out, and why.
    notes : tuple of str
        What a reader should know, one line each.
    """

    table: pd.DataFrame
    vote_columns: tuple[str, ...] = ()
    skipped: Counter[str] = field(default_factory=Counter)
    unused: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
