"""What a kind of source is, and what its reader finds."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from gz2_dataset.origin import OWN, Origin
from gz2_dataset.sources.files import Files

COORDINATES, OWN_SPLIT = ("ra", "dec"), "split"
"""Columns that a source may have besides its classes or votes."""


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


@dataclass(frozen=True)
class Kind:
    """A kind of source: a row of `sources.KINDS`.

    Attributes
    ----------
    sign : str
        What it is recognised by, for the message of a folder that holds nothing of the sort.
    is_there, read : callable, optional
        Whether files are of this kind, and what is found in them; None for ``hub``, which need not be files.
    origin : Origin
        What the card may say about the galaxies.
    """

    sign: str
    is_there: Callable[[Files], bool] | None = None
    read: Callable[[Files], Found] | None = None
    origin: Origin = OWN
