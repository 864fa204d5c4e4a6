"""Splits by hash: no order matters, no galaxy moves, none is in two."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gz2_dataset import UserError
from gz2_dataset.splits import COLUMNS, read_splits, repeats_across, split_galaxies


def galaxies(start: int, count: int, galaxy_class: str) -> pd.DataFrame:
    return pd.DataFrame({"image_id": [str(i) for i in range(start, start + count)], "galaxy_class": galaxy_class})


SURVEY = pd.concat([galaxies(0, 400, "spiral"), galaxies(1000, 20, "cigar"), galaxies(2000, 50, "")], ignore_index=True)


def split_of(table: pd.DataFrame, **options) -> dict[str, str]:
    split = split_galaxies(table, options.pop("test", 100), options.pop("validation", 50), **options)
    return dict(zip(table["image_id"], split, strict=True))


def test_the_smallest_hashes_are_test_and_the_next_validation():
    split = split_of(SURVEY)
    spirals = sorted((str(i) for i in range(400)), key=lambda i: hashlib.sha256(i.encode()).hexdigest())
    assert [split[i] for i in spirals] == ["test"] * 100 + ["validation"] * 40 + ["train"] * 260


def test_a_small_class_keeps_most_of_its_galaxies_for_training():
    counts = pd.Series([s for i, s in split_of(SURVEY).items() if 1000 <= int(i) < 2000]).value_counts()
    assert counts.to_dict() == {"train": 12, "test": 6, "validation": 2}


def test_galaxies_without_a_class_are_unlabelled():
    assert {s for i, s in split_of(SURVEY).items() if int(i) >= 2000} == {"unlabelled"}


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(random):
    order = list(range(len(SURVEY)))
    random.shuffle(order)
    assert split_of(SURVEY.iloc[order].reset_index(drop=True)) == split_of(SURVEY)


@given(st.integers(0, 300), st.integers(0, 30))
def test_no_galaxy_moves_when_others_are_added(spirals, cigars):
    before = split_of(SURVEY)
    earlier = SURVEY.assign(split=SURVEY["image_id"].map(before))[COLUMNS]
    more = pd.concat([galaxies(5000, spirals, "spiral"), SURVEY, galaxies(9000, cigars, "cigar")], ignore_index=True)
    after = split_of(more, earlier=earlier)
    assert {i: after[i] for i in before} == before
    added = [after[str(i)] for i in range(9000, 9000 + cigars)]
    assert added.count("test") == int(0.3 * (20 + cigars)) - 6


def test_a_galaxy_that_has_lost_its_class_becomes_unlabelled():
    earlier = SURVEY.assign(split="train")[COLUMNS]
    changed = SURVEY.assign(galaxy_class=SURVEY["galaxy_class"].where(SURVEY["image_id"] != "7", ""))
    assert split_of(changed, earlier=earlier)["7"] == "unlabelled"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("image_id,galaxy_class,split\n1,spiral,train\n1,spiral,test\n", "twice"),
        ("image_id,galaxy_class,split\n1,spiral,exam\n", "unknown split 'exam'"),
        ("image_id,split\n1,train\n", "has the columns"),
        ("", "cannot be read"),
    ],
)
def test_a_damaged_split_file_is_refused(tmp_path, text, complaint):
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_splits(path)


SPLIT_NAMES = st.lists(st.sampled_from(["train", "validation", "test", "unlabelled"]), min_size=2, max_size=30)


@given(SPLIT_NAMES, st.data())
def test_after_repeats_have_gone_no_held_out_galaxy_shows_what_another_split_shows(names, data):
    split = pd.Series(names, index=range(100, 100 + len(names)))
    position = st.integers(0, len(names) - 1)
    pairs = np.array(data.draw(st.lists(st.tuples(position, position), max_size=10)), int).reshape(-1, 2)
    known = pd.Series(data.draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names))), index=split.index)
    gone = repeats_across(split, pairs, known)
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
    assert repeats_across(pd.Series(names), pairs, pd.Series(known)).tolist() == gone


def test_ten_thousand_new_galaxies_move_no_old_one():
    before = split_of(SURVEY)
    earlier = SURVEY.assign(split=SURVEY["image_id"].map(before))[COLUMNS]
    more = pd.concat([galaxies(10_000, 10_000, "spiral"), SURVEY.sample(frac=1, random_state=0)], ignore_index=True)
    after = split_of(more, earlier=earlier)
    assert {image_id: after[image_id] for image_id in before} == before
