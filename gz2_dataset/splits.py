"""Which galaxies are for testing: by a hash of image_id, so that no order of files matters."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .command_line import UserError

SPLITS = ("train", "validation", "test", "unlabelled")
HELD_OUT = ("validation", "test")
TEST_SHARE = 0.3
VALIDATION_SHARE = 0.1
COLUMNS = ["image_id", "galaxy_class", "split"]
"""Of a split file; a further one, sha256, tells the image's bytes."""


def hash_of(image_id: str) -> str:
    """The hexadecimal SHA-256 of an image_id, whose order decides the splits."""
    return hashlib.sha256(image_id.encode()).hexdigest()


def split_galaxies(
    table: pd.DataFrame, test_per_class: int, validation_per_class: int, earlier: pd.DataFrame | None = None
) -> pd.Series:
    """Split of each galaxy.

    Of each class, the ``test_per_class`` galaxies with the smallest hash of image_id are test and the next
    ``validation_per_class`` validation, but never more than 30 % and 10 % of a small class. Galaxies without a class
    are unlabelled.

    Parameters
    ----------
    table : DataFrame
        Columns image_id and galaxy_class (empty: no class).
    test_per_class, validation_per_class : int
        Number of galaxies wanted a class.
    earlier : DataFrame, optional
        The split file of an earlier build: its galaxies stay where they were, and only what is then missing is filled
        up from new ones. A galaxy whose class has changed is split anew.

    Returns
    -------
    Series of str
        One of `SPLITS` a row, indexed like ``table``.
    """
    split = pd.Series("train", index=table.index)
    split[table["galaxy_class"] == ""] = "unlabelled"
    kept = pd.Series(pd.NA, index=table.index, dtype=object)
    if earlier is not None:
        known = earlier.set_index(["image_id", "galaxy_class"])["split"]
        kept = pd.Series(known.reindex(pd.MultiIndex.from_frame(table[COLUMNS[:2]])).to_numpy(), index=table.index)
        kept[table["galaxy_class"] == ""] = pd.NA
        split[kept.notna()] = kept[kept.notna()]
    for _, galaxies in table[table["galaxy_class"] != ""].groupby("galaxy_class"):
        order = galaxies["image_id"].map(hash_of).sort_values().index
        new = order[kept[order].isna()]
        for name, wanted, share in (
            ("test", test_per_class, TEST_SHARE),
            ("validation", validation_per_class, VALIDATION_SHARE),
        ):
            present = int((kept[order] == name).sum())
            missing = max(0, min(wanted, int(share * len(galaxies))) - present)
            split[new[:missing]] = name
            new = new[missing:]
    return split


def repeats_across(split: pd.Series, pairs: np.ndarray, known: pd.Series) -> pd.Series:
    """Galaxies that must go because a held-out galaxy shows the same sky.

    Of the galaxies that show the same, those of the test split stay, then those of validation, and the others leave
    train, unlabelled or validation; but a galaxy of an earlier build stays before a new one.

    Parameters
    ----------
    split : Series of str
        One of `SPLITS` a galaxy.
    pairs : ndarray of int, shape (P, 2)
        Positions of galaxies that show the same.
    known : Series of bool
        Galaxies of an earlier build.

    Returns
    -------
    Series of bool
        True for those that must go, indexed like ``split``.
    """
    must_go = pd.Series(False, index=split.index)
    if not len(pairs):
        return must_go
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(split), len(split)))
    _, group = connected_components(links, directed=False)
    rank = split.map({"test": 0, "validation": 1, "train": 2, "unlabelled": 3}).to_numpy() + 4 * ~known.to_numpy()
    table = pd.DataFrame({"group": group, "rank": rank, "split": split.to_numpy()}, index=split.index)
    table = table[table["group"].map(table["group"].value_counts()) > 1]
    stays = table["group"].map(table.sort_values("rank").groupby("group")["split"].first())
    held_out = table["split"].isin(HELD_OUT) | stays.isin(HELD_OUT)
    must_go[table.index] = (table["split"] != stays) & held_out
    return must_go


def read_splits(path: Path) -> pd.DataFrame:
    """The split file of an earlier build: columns image_id, galaxy_class and split, all of them text."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a split file ({error}); remove it to split anew") from None
    if list(table.columns[:3]) != COLUMNS:
        raise UserError(f"{path}: a split file has the columns {', '.join(COLUMNS)}; remove it to split anew")
    if unknown := set(table["split"]) - set(SPLITS):
        raise UserError(f"{path}: unknown split {sorted(unknown)[0]!r}; remove the file to split anew")
    if table["image_id"].duplicated().any():
        twice = table["image_id"][table["image_id"].duplicated()].iloc[0]
        raise UserError(f"{path}: galaxy {twice} stands there twice; a galaxy is in one split only, remove the file")
    return table
