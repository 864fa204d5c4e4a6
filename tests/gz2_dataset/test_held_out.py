"""Splits that a user has, splits that were, and galaxies that come in several orientations."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from gz2_dataset import UserError
from gz2_dataset.held_out import hold_out
from gz2_dataset.splits import COLUMNS

WANTED = {"test": 100, "validation": 50}


def galaxies(count: int, galaxy_class: str = "ring", prefix: str = "") -> pd.DataFrame:
    ids = [f"{prefix}{i}" for i in range(count)]
    table = pd.DataFrame({"image_id": ids, "galaxy_class": galaxy_class})
    return table.assign(sha256=[hashlib.sha256(f"{galaxy_class}{i}".encode()).hexdigest() for i in ids])


def skies(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 16, (count, 64, 64)).astype(np.int8)


def as_file(table: pd.DataFrame) -> pd.DataFrame:
    """What an earlier build has written and `read_splits` reads."""
    return table[[*COLUMNS, "sha256", "fold"]]


def test_pictures_of_one_galaxy_are_split_as_one(capsys):
    """Ten galaxies in eight orientations: each is on one side, and is judged once."""
    table = galaxies(80)
    table["galaxy"] = table.index // 8
    turned = [np.rot90(a, k) for sky in skies(10) for a in (sky, sky[:, ::-1]) for k in range(4)]
    found, moved = hold_out(table, np.stack(turned), WANTED, None)
    test, train = (found[found["split"] == split] for split in ("test", "train"))
    assert len(test) == test["galaxy"].nunique() == 3
    assert len(train) == 8 * train["galaxy"].nunique() == 8 * 6
    assert not set(test["galaxy"]) & set(train["galaxy"])
    assert moved == {"exact": 0, "near": 4 * 7}


def test_a_users_test_set_is_the_test_set_and_validation_is_taken_from_the_rest():
    table = galaxies(40).assign(split=["test"] * 10 + ["train"] * 28 + [""] * 2)
    found, _ = hold_out(table, None, WANTED, None)
    assert (found["split"] == "test").tolist() == [True] * 10 + [False] * 30
    assert (found["split"] == "validation").sum() == 4
    again, _ = hold_out(table, None, WANTED, as_file(found))
    assert again["split"].tolist() == found["split"].tolist()


def test_a_users_validation_set_is_kept_and_a_test_set_made():
    table = galaxies(40).assign(split=["validation"] * 5 + [""] * 35)
    found, _ = hold_out(table, None, WANTED, None)
    assert (found["split"] == "validation").tolist() == [True] * 5 + [False] * 35
    assert (found["split"] == "test").sum() == 12
    with pytest.raises(UserError, match="leave --num_folds out"):
        hold_out(table, None, WANTED, None, num_folds=3)


def test_a_training_image_that_is_also_in_the_users_test_set_leaves_training():
    table = galaxies(20).assign(split=["test"] * 5 + ["train"] * 15)
    table.loc[7, "sha256"] = table.loc[2, "sha256"]
    found, moved = hold_out(table, None, WANTED, None)
    assert 7 not in found.index
    assert moved == {"exact": 1, "near": 0}
