"""Which galaxies are for testing: by a hash of image_id, so that the order of files does not matter."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from .command_line import UserError
from .reading import read_table

RESERVE = "reserve"
"""Galaxies that `rarity.make_rare` has set aside."""
SPLITS = ("train", "validation", "test", "unlabelled", RESERVE)
HELD_OUT = ("validation", "test")
SPLIT_FILE = "splits.csv"
TEST_SHARE = 0.3
VALIDATION_SHARE = 0.1
COLUMNS = ["image_id", "galaxy_class", "split"]
"""Columns of a split file; others are sha256, of the image's bytes, and with several folds the fold that tests it."""


def hash_of(image_id: str) -> str:
    """The hexadecimal SHA-256 of an image_id, whose order decides the splits."""
    return hashlib.sha256(image_id.encode()).hexdigest()


def split_galaxies(
    table: pd.DataFrame,
    test_per_class: int,
    validation_per_class: int,
    earlier: pd.DataFrame | None = None,
    num_folds: int = 1,
    fold: int = 0,
) -> pd.DataFrame:
    """Split of each galaxy, and the fold in which it is tested.

    The galaxies of each class are put in the order of the hash of image_id. The first stretch of them is tested in fold
    0, the next in fold 1 and so on (see `fold_sizes`). In a given fold its own stretch is the test split, and the
    ``validation_per_class`` galaxies that follow it are the validation split, but never more than 10 % of a small
    class; the last fold is followed by the first. Galaxies without a class are unlabelled.

    Parameters
    ----------
    table : DataFrame
        Columns image_id and galaxy_class (empty: no class).
    test_per_class, validation_per_class : int
        Number of galaxies wanted per class.
    earlier : DataFrame, optional
        The split file of an earlier build, as `read_splits` gives it: its galaxies stay where they were, in split and
        fold, and only what is then missing is filled up with new ones. A galaxy whose class has changed is split anew.
    num_folds, fold : int
        Number of disjoint test sets, and which of them this is.

    Returns
    -------
    DataFrame
        Columns split, one of `SPLITS`, and fold, -1 if a galaxy is not tested in any; indexed like ``table``.
    """
    classes = table["galaxy_class"].to_numpy()
    split = np.where(classes != "", "train", "unlabelled").astype(object)
    tested = np.full(len(table), -1)
    known = np.zeros(len(table), bool)
    if earlier is not None:
        kept = earlier.set_index(COLUMNS[:2])[["split", "fold"]]
        kept = kept.reindex(pd.MultiIndex.from_frame(table[COLUMNS[:2]]))
        known = (classes != "") & kept["split"].notna().to_numpy()
        split[known], tested[known] = kept["split"].to_numpy()[known], kept["fold"].to_numpy()[known]
    for name in set(classes) - {""}:
        galaxies = np.flatnonzero(classes == name)
        order = galaxies[np.argsort([hash_of(image_id) for image_id in table["image_id"].iloc[galaxies]])]
        new = order[~known[order]]
        free = new
        for number, size in enumerate(fold_sizes(len(order), test_per_class, num_folds)):
            missing = max(0, size - int((tested[order] == number).sum()))
            tested[free[:missing]] = number
            free = free[missing:]
        split[new[tested[new] == fold]] = "test"
        # With several folds, those of the next folds: a galaxy that no fold tests is never held out.
        others = new[(tested[new] != fold) & ((tested[new] >= 0) | (num_folds == 1))]
        turn = np.argsort((tested[others] - fold) % num_folds, kind="stable")
        wanted = min(validation_per_class, int(VALIDATION_SHARE * len(order)))
        missing = max(0, wanted - int((split[order] == "validation").sum()))
        split[others[turn[:missing]]] = "validation"
    return pd.DataFrame({"split": pd.Series(split, table.index, str), "fold": tested}, index=table.index)


def with_new_names(earlier: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The split file of an earlier build in which a galaxy whose image_id has changed has its new one.

    A galaxy is known by its bytes: an id changes when another class brings a file of the same name.

    Parameters
    ----------
    earlier : DataFrame
        As `read_splits` gives it.
    table : DataFrame
        Columns image_id and sha256.
    """
    if "sha256" not in earlier:
        return earlier
    new = earlier["sha256"].map(table.drop_duplicates("sha256").set_index("sha256")["image_id"])
    gone = ~earlier["image_id"].isin(table["image_id"]) & new.notna()
    return earlier.assign(image_id=earlier["image_id"].mask(gone, new)).drop_duplicates("image_id")


def fold_sizes(count: int, test_per_class: int, num_folds: int) -> list[int]:
    """Test galaxies of a class in each fold.

    A single fold tests at most 30 % of a small class. Several divide a small class among them, so that each of its
    galaxies is tested once.

    Examples
    --------
    >>> fold_sizes(66, 100, 1), fold_sizes(66, 100, 5), fold_sizes(957, 100, 5)
    ([19], [14, 13, 13, 13, 13], [100, 100, 100, 100, 100])
    """
    if num_folds == 1:
        return [min(test_per_class, int(TEST_SHARE * count))]
    return [min(test_per_class, (count + num_folds - 1 - fold) // num_folds) for fold in range(num_folds)]


def check_splits(data: str, names: set[str]) -> None:
    """Refuse a dataset without training galaxies, or with unknown splits."""
    if "train" not in names or not names <= set(SPLITS):
        raise UserError(
            f"{data}: has the splits {', '.join(sorted(names))}; it needs train, and may have {', '.join(SPLITS)}"
        )


def check_no_leak(data: str, table: pd.DataFrame) -> None:
    """Refuse a dataset in which a net would learn from a galaxy that it is judged by.

    Parameters
    ----------
    data : str
        Name of the dataset, for errors.
    table : DataFrame
        Columns image_id, split and sha256 (of the image's bytes; empty: not known).
    """
    for key in ("image_id", "sha256"):
        rows = table[["image_id", "split"]].assign(key=table[key])
        rows = rows[rows["key"] != ""].drop_duplicates(["key", "split"])
        pairs = rows[rows["split"].isin(HELD_OUT)].merge(rows, on="key", suffixes=("", "_other"))
        for leak in pairs[pairs["split"] != pairs["split_other"]].head(1).itertuples():
            raise UserError(
                f"{data}: galaxy {leak.image_id} of {leak.split} is also in {leak.split_other} (as "
                f"{leak.image_id_other}), so results would be worthless; build the dataset anew from images that differ"
            )


def read_splits(path: Path, num_folds: int = 1, fold: int = 0) -> pd.DataFrame:
    """The split file of an earlier build of a fold: columns image_id, galaxy_class, split (text) and fold (int).

    Galaxies of the reserve are in train again, from which `rarity.make_rare` may take them anew.
    """
    table = read_table(path, "remove it to split anew", ())
    if list(table.columns[:3]) != COLUMNS:
        raise UserError(f"{path}: a split file has the columns {', '.join(COLUMNS)}; remove it to split anew")
    if unknown := set(table["split"]) - set(SPLITS):
        raise UserError(f"{path}: unknown split {sorted(unknown)[0]!r}; remove the file to split anew")
    if table["image_id"].duplicated().any():
        twice = table["image_id"][table["image_id"].duplicated()].iloc[0]
        raise UserError(f"{path}: galaxy {twice} appears twice; a galaxy can only be in one split, remove the file")
    table["split"] = table["split"].replace(RESERVE, "train")
    if "fold" not in table:
        table["fold"] = (table["split"] == "test").map({True: "0", False: ""})
    numbers = {"": -1} | {str(number): number for number in range(-1, num_folds)}
    table["fold"] = table["fold"].map(numbers).fillna(num_folds).astype(int)
    tested = table["fold"] == fold
    if max(1, table["fold"].max() + 1) != num_folds or (tested != (table["split"] == "test")).any():
        raise UserError(f"{path}: is not of fold {fold} of {num_folds}; each fold needs its own --output")
    return table
