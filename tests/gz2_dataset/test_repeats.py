"""Galaxies that show the same sky: which must go, and that nothing held out is seen elsewhere afterwards."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gz2_dataset.repeats import groups_of, repeats_across, same_bytes

FOLDS = 3


def in_splits(names: list[str]) -> pd.DataFrame:
    """Galaxies of the first of three folds; "tested 1" is a training galaxy that fold 1 tests."""
    split = ["train" if name.startswith("tested") else name for name in names]
    fold = [int(name[-1]) if name.startswith("tested") else int(name == "test") - 1 for name in names]
    return pd.DataFrame({"split": split, "fold": fold}, index=range(100, 100 + len(names)))


SPLIT_NAMES = st.lists(
    st.sampled_from(["train", "validation", "test", "unlabelled", "tested 1", "tested 2"]), min_size=2, max_size=30
)


@given(SPLIT_NAMES, st.data())
def test_after_repeats_have_gone_no_held_out_galaxy_shows_what_another_split_shows(names, data):
    galaxies = in_splits(names)
    split = galaxies["split"]
    position = st.integers(0, len(names) - 1)
    pairs = np.array(data.draw(st.lists(st.tuples(position, position), max_size=10)), int).reshape(-1, 2)
    known = pd.Series(data.draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names))), index=split.index)
    gone = repeats_across(galaxies, pairs, known, FOLDS)
    for a, b in pairs:
        if not gone.iloc[a] and not gone.iloc[b] and split.iloc[a] != split.iloc[b]:
            assert {split.iloc[a], split.iloc[b]} == {"train", "unlabelled"}
    alone = sorted(set(range(len(names))) - set(pairs.ravel().tolist()))
    assert not gone.iloc[alone].any(), "a galaxy that shows something of its own stays"


@pytest.mark.parametrize(
    ("names", "known", "gone"),
    [
        (["train", "test"], [True, True], [True, False]),
        (["validation", "test", "unlabelled"], [False] * 3, [True, False, True]),
        (["train", "unlabelled"], [True, True], [False, False]),
        (["test", "test"], [True, True], [False, False]),
        (["train", "test"], [True, False], [False, True]),  # the galaxy of the earlier build stays
    ],
)
def test_which_of_several_galaxies_that_show_the_same_stays(names, known, gone):
    pairs = np.array([(0, i) for i in range(1, len(names))])
    galaxies = in_splits(names)
    assert repeats_across(galaxies, pairs, pd.Series(known, galaxies.index), 1).tolist() == gone


def test_of_two_galaxies_that_one_fold_tests_one_goes_though_no_other_fold_tests_any():
    galaxies = in_splits(["test", "test"])
    gone = repeats_across(galaxies, np.array([(0, 1)]), pd.Series(False, galaxies.index), FOLDS)
    assert gone.tolist() == [False, True]


@given(st.lists(st.sampled_from(["train", "unlabelled", 0, 1, 2]), min_size=2, max_size=30), st.data())
def test_all_folds_lose_the_same_galaxies_and_leak_nothing(places, data):
    position = st.integers(0, len(places) - 1)
    pairs = np.array(data.draw(st.lists(st.tuples(position, position), max_size=10)), int).reshape(-1, 2)
    known = pd.Series(data.draw(st.lists(st.booleans(), min_size=len(places), max_size=len(places))))
    of_fold = [place if isinstance(place, int) else -1 for place in places]
    lost = []
    for fold in range(FOLDS):
        split = [place if isinstance(place, str) else "test" if place == fold else "train" for place in places]
        following = [i for i, number in enumerate(of_fold) if number == (fold + 1) % FOLDS][:1]
        split = ["validation" if i in following else name for i, name in enumerate(split)]
        gone = repeats_across(pd.DataFrame({"split": split, "fold": of_fold}), pairs, known, FOLDS)
        lost.append(gone.tolist())
        for a, b in pairs:
            if not gone[a] and not gone[b] and split[a] != split[b]:
                assert {split[a], split[b]} == {"train", "unlabelled"}
    assert lost == [lost[0]] * FOLDS


def test_groups_are_connected_through_pairs_and_equal_files_through_the_first():
    files = pd.Series(["x", "y", "x", "z", "x"], index=list("abcde"))
    pairs = same_bytes(files)
    assert pairs.tolist() == [[0, 2], [0, 4]]
    groups = groups_of(np.concatenate([pairs, [[1, 3]]]), 5)
    assert [(groups == number).nonzero()[0].tolist() for number in dict.fromkeys(groups)] == [[0, 2, 4], [1, 3]]
    assert same_bytes(files[:2]).shape == (0, 2)
