"""The split of each galaxy: the user's own, that of an earlier build, or by hash; and which repeats must go."""

import numpy as np
import pandas as pd

from .command_line import UserError
from .repeats import groups_of, repeats_across, same_bytes, same_sky
from .splits import COLUMNS, HELD_OUT, hash_of, split_galaxies


def hold_out(
    table: pd.DataFrame,
    signatures: np.ndarray | None,
    wanted: dict[str, int],
    earlier: pd.DataFrame | None,
    num_folds: int = 1,
    fold: int = 0,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Sort galaxies into splits.

    Images of a class that show the same sky are split as one galaxy: if it is held out, one of them stays; if not, all
    are in train.

    Parameters
    ----------
    table : DataFrame
        Columns image_id, galaxy_class, sha256 and, where the source has splits of its own, split.
    signatures : ndarray or None
        Of `near_duplicates`; without them only equal files are known to show the same sky.
    wanted : dict of str to int
        Galaxies of each class for ``test`` and ``validation``.
    earlier : DataFrame, optional
        The split file of an earlier build.
    num_folds, fold : int
        As of `splits.split_galaxies`.

    Returns
    -------
    table : DataFrame
        With split and fold, without the repeats that must go.
    moved : dict of str to int
        How many had to go, as ``exact`` and as ``near`` duplicates.

    Raises
    ------
    UserError
        If the source has splits of its own and folds are wanted.
    """
    known = table["image_id"].isin([] if earlier is None else earlier["image_id"])
    fixed, earlier, wanted = with_own_splits(table, earlier, wanted, num_folds)
    exact_pairs = same_bytes(table["sha256"])
    pairs = exact_pairs if signatures is None else np.concatenate([exact_pairs, same_sky(signatures)])
    first = first_of_its_sky(table, pairs, known | fixed)
    firsts = table[first == table.index]
    found = split_galaxies(firsts, wanted["test"], wanted["validation"], earlier, num_folds, fold)
    found = found.loc[first].set_index(table.index)
    table = table.drop(columns="split", errors="ignore").join(found)
    exact, repeated = (repeats_across(table, of, known | fixed, num_folds) for of in (exact_pairs, pairs))
    repeated |= exact
    return table[~repeated], {"exact": int(exact.sum()), "near": int((repeated & ~exact).sum())}


def with_own_splits(
    table: pd.DataFrame, earlier: pd.DataFrame | None, wanted: dict[str, int], num_folds: int
) -> tuple[pd.Series, pd.DataFrame | None, dict[str, int]]:
    """Which galaxies the source itself holds out; what is fixed with them; and how many are still wanted."""
    if "split" not in table:
        return pd.Series(False, index=table.index), earlier, wanted
    if num_folds > 1:
        raise UserError("the source has splits of its own, which several folds cannot keep; leave --num_folds out")
    fixed = table["split"].isin(HELD_OUT)
    own = table.loc[fixed, COLUMNS].assign(fold=(table["split"] == "test").map({True: 0, False: -1}))
    if earlier is not None:
        own = pd.concat([own, earlier[~earlier["image_id"].isin(own["image_id"])]])
    return fixed, own, {split: 0 if (table["split"] == split).any() else count for split, count in wanted.items()}


def first_of_its_sky(table: pd.DataFrame, pairs: np.ndarray, fixed: pd.Series) -> pd.Series:
    """For each galaxy, the index of the one of its class that is split for all that show the same sky.

    It is one of ``fixed`` if there is any, else the one with the smallest hash; each of ``fixed`` is its own.
    """
    order = pd.DataFrame(
        {"group": groups_of(pairs, len(table)), "galaxy_class": table["galaxy_class"], "new": ~fixed}, index=table.index
    )
    order = order.assign(hash=table["image_id"].map(hash_of)).sort_values(["new", "hash"])
    first = order.index.to_series().groupby([order["group"], order["galaxy_class"]]).transform("first")
    return first.reindex(table.index).where(~fixed, table.index.to_series())
