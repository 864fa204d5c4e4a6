"""Galaxies that show the same piece of sky: which they are, and which of them must go."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .near_duplicates import near_duplicates


def same_bytes(sha256: pd.Series) -> np.ndarray:
    """Pairs of positions of galaxies with equal files, each galaxy with the first such; shape (P, 2)."""
    position = pd.Series(np.arange(len(sha256)), index=sha256.index)
    first = position.groupby(sha256).transform("first")
    return np.stack([first[first != position], position[first != position]], axis=1)


def same_sky(signatures: np.ndarray) -> np.ndarray:
    """Pairs of positions of galaxies whose images are near duplicates; shape (P, 2)."""
    return np.array(near_duplicates(signatures), int).reshape(-1, 2)


def groups_of(pairs: np.ndarray, count: int) -> np.ndarray:
    """Group number of each of ``count`` galaxies, if the pairs of positions, shape (P, 2), belong together."""
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
    return connected_components(links, directed=False)[1]


def repeats_across(galaxies: pd.DataFrame, pairs: np.ndarray, known: pd.Series, num_folds: int) -> pd.Series:
    """Galaxies that must go because a held-out galaxy shows the same sky.

    Of galaxies that show the same sky, those in the test split take precedence over those in validation, and these over
    the rest, which must leave train, unlabelled or validation, and only one is held out; but a galaxy of an earlier
    build takes precedence over a new one. With several folds, only the first galaxy in the first fold that tests one
    stays, whichever fold is built, so that all folds lose the same galaxies.

    Parameters
    ----------
    galaxies : DataFrame
        Columns split and fold, as `splits.split_galaxies` gives them.
    pairs : ndarray of int, shape (P, 2)
        Positions of galaxies that show the same.
    known : Series of bool
        Galaxies of an earlier build.
    num_folds : int
        As of `splits.split_galaxies`.

    Returns
    -------
    Series of bool
        True for those that must go, indexed like ``galaxies``.
    """
    must_go = pd.Series(False, index=galaxies.index)
    if not len(pairs):
        return must_go
    part = galaxies["split"].map({"validation": num_folds, "train": num_folds + 1, "unlabelled": num_folds + 2})
    part = part.where(galaxies["fold"] < 0, galaxies["fold"]).astype(int)
    table = pd.DataFrame({"part": part, "group": groups_of(pairs, len(galaxies)), "new": ~known})
    table = table[table["group"].duplicated(keep=False)].sort_values(["new", "part"])
    stays = table.groupby("group")["part"].transform("first")
    # Even within one split, so that each galaxy is judged once. With folds even galaxies of an earlier build, because
    # another fold validates on some of the galaxies of this one and learns from the others.
    others = (table["part"] != stays) | (table["group"].duplicated() & (table["new"] | (num_folds > 1)))
    must_go[table.index] = others & (np.minimum(table["part"], stays) <= num_folds)
    return must_go
