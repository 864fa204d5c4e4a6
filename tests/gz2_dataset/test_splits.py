"""Splits by hash: order does not matter, no galaxy moves, none is in two."""

import hashlib
from itertools import chain

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gz2_dataset import UserError
from gz2_dataset.splits import COLUMNS, check_no_leak, fold_sizes, read_splits, split_galaxies, with_new_names


def galaxies(start: int, count: int, galaxy_class: str) -> pd.DataFrame:
    return pd.DataFrame({"image_id": [str(i) for i in range(start, start + count)], "galaxy_class": galaxy_class})


SURVEY = pd.concat([galaxies(0, 400, "spiral"), galaxies(1000, 20, "cigar"), galaxies(2000, 50, "")], ignore_index=True)


def split_of(table: pd.DataFrame, **options) -> dict[str, str]:
    found = split_galaxies(table, options.pop("test", 100), options.pop("validation", 50), **options)
    assert ((found["split"] == "test") == (found["fold"] == options.get("fold", 0))).all()
    return dict(zip(table["image_id"], found["split"], strict=True))


def listed(table: pd.DataFrame, split: dict[str, str]) -> pd.DataFrame:
    """What a rebuild reads of a build without folds."""
    earlier = table.assign(split=table["image_id"].map(split))[COLUMNS]
    return earlier.assign(fold=(earlier["split"] == "test") - 1)


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
    more = pd.concat([galaxies(5000, spirals, "spiral"), SURVEY, galaxies(9000, cigars, "cigar")], ignore_index=True)
    after = split_of(more, earlier=listed(SURVEY, before))
    assert {i: after[i] for i in before} == before
    added = [after[str(i)] for i in range(9000, 9000 + cigars)]
    assert added.count("test") == int(0.3 * (20 + cigars)) - 6


def test_a_galaxy_that_has_lost_its_class_becomes_unlabelled():
    earlier = SURVEY.assign(split="train", fold=-1)
    changed = SURVEY.assign(galaxy_class=SURVEY["galaxy_class"].where(SURVEY["image_id"] != "7", ""))
    assert split_of(changed, earlier=earlier)["7"] == "unlabelled"


CLASS_SIZES = st.dictionaries(st.sampled_from(["spiral", "ring", "cigar"]), st.integers(1, 90), min_size=1)


def survey(sizes: dict[str, int], start: int = 0) -> pd.DataFrame:
    parts = [galaxies(start + 1000 * c, sizes[name], name) for c, name in enumerate(sorted(sizes))]
    return pd.concat([*parts, galaxies(start + 9000, 5, "")], ignore_index=True)


@given(CLASS_SIZES, st.integers(1, 25), st.integers(0, 10), st.integers(2, 6), st.randoms(use_true_random=False))
def test_folds_are_disjoint_divide_a_rare_class_and_ignore_the_order_of_rows(sizes, test, validation, folds, random):
    table = survey(sizes)
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = table.iloc[order].reset_index(drop=True)
    options = {"test": test, "validation": validation, "num_folds": folds}
    splits = [split_of(shuffled, **options, fold=fold) for fold in range(folds)]
    assert splits == [split_of(table, **options, fold=fold) for fold in range(folds)]
    for name, size in sizes.items():
        ids = table[table["galaxy_class"] == name]["image_id"]
        by_hash = sorted(ids, key=lambda i: hashlib.sha256(i.encode()).hexdigest())
        tested = [[i for i in by_hash if split[i] == "test"] for split in splits]
        assert list(chain(*tested)) == by_hash[: min(size, test * folds)], "disjoint stretches in the order of the hash"
        assert max(map(len, tested)) <= test
        assert max(map(len, tested)) - min(map(len, tested)) <= 1, "a rare class is divided evenly"
        for split in splits:
            found = {i for i in ids if split[i] == "validation"}
            others = set(by_hash[: test * folds]) - {i for i in ids if split[i] == "test"}
            assert len(found) == min(validation, size // 10, len(others))
            assert found <= others, "a galaxy that no fold tests is never held out"


def test_a_fold_is_followed_by_its_validation_galaxies_and_the_last_by_the_first():
    by_hash = sorted((str(i) for i in range(400)), key=lambda i: hashlib.sha256(i.encode()).hexdigest())
    for fold, validation in ((0, by_hash[50:60]), (1, by_hash[100:110]), (2, by_hash[:10])):
        split = split_of(SURVEY, test=50, validation=10, num_folds=3, fold=fold)
        assert {i for i in by_hash if split[i] == "validation"} == set(validation)


def test_the_first_fold_of_a_large_class_tests_what_a_build_without_folds_tests():
    plain, first = split_of(SURVEY, test=50), split_of(SURVEY, test=50, num_folds=5, fold=0)
    spirals = [str(i) for i in range(400)]
    assert [plain[i] for i in spirals] == [first[i] for i in spirals]


@given(CLASS_SIZES, CLASS_SIZES, st.integers(1, 25), st.integers(1, 10), st.integers(2, 5))
def test_no_galaxy_moves_between_folds_when_others_are_added(sizes, more, test, validation, folds):
    old, new = survey(sizes), survey(more, start=100_000)
    table = pd.concat([new, old], ignore_index=True)
    after = []
    for fold in range(folds):
        options = {"num_folds": folds, "fold": fold}
        before = split_galaxies(old, test, validation, **options)
        found = split_galaxies(table, test, validation, old.join(before), **options)
        pd.testing.assert_frame_equal(found.iloc[len(new) :].reset_index(drop=True), before)
        assert ((found["split"] == "test") == (found["fold"] == fold)).all()
        after.append(found["fold"])
    assert all(fold.equals(after[0]) for fold in after), "every fold knows which galaxies the others test"
    for _, rows in table[table["galaxy_class"] != ""].groupby("galaxy_class"):
        tested = after[0][rows.index].value_counts().drop(-1, errors="ignore")
        assert sorted(tested, reverse=True) == [size for size in fold_sizes(len(rows), test, folds) if size]


@pytest.mark.parametrize("key", ["image_id", "sha256"])
@pytest.mark.parametrize(
    ("one", "other", "leak"),
    [
        ("train", "test", True),
        ("unlabelled", "validation", True),
        ("validation", "test", True),
        ("train", "unlabelled", False),
        ("test", "test", False),
    ],
)
def test_what_is_held_out_must_not_be_learned_from(key, one, other, leak):
    table = pd.DataFrame({"image_id": ["1", "2", "3"], "split": ["train", one, other], "sha256": ["a", "b", "c"]})
    check_no_leak("survey", table)
    check_no_leak("survey", table.assign(sha256=""))
    table.loc[2, key] = table.loc[1, key]
    if leak:
        with pytest.raises(UserError, match=r"survey: galaxy .* is also in"):
            check_no_leak("survey", table)
    else:
        check_no_leak("survey", table)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("image_id,galaxy_class,split\n1,spiral,train\n1,spiral,test\n", "twice"),
        ("image_id,galaxy_class,split\n1,spiral,exam\n", "unknown split 'exam'"),
        ("image_id,galaxy_class,split,fold\n1,spiral,train,0\n", "is not of fold 0 of 1"),
        ("image_id,galaxy_class,split,fold\n1,spiral,test,0\n2,spiral,train,1\n", "is not of fold 0 of 1"),
        ("image_id,galaxy_class,split,fold\n1,spiral,test,none\n", "is not of fold 0 of 1"),
        ("image_id,split\n1,train\n", "has the columns"),
        ("", "cannot be read"),
    ],
)
def test_a_damaged_split_file_is_refused(tmp_path, text, complaint):
    path = tmp_path / "splits.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_splits(path)


def test_ten_thousand_new_galaxies_move_no_old_one():
    before = split_of(SURVEY)
    more = pd.concat([galaxies(10_000, 10_000, "spiral"), SURVEY.sample(frac=1, random_state=0)], ignore_index=True)
    after = split_of(more, earlier=listed(SURVEY, before))
    assert {image_id: after[image_id] for image_id in before} == before


def test_a_galaxy_that_has_a_new_name_stays_where_it_was():
    """As when another class brings a file of the same name: 7 is then ring-7, and known by its bytes."""
    earlier = pd.DataFrame(
        {"image_id": ["7", "8", "9"], "galaxy_class": "ring", "split": ["test", "train", "test"], "fold": [0, -1, 0]}
    ).assign(sha256=["a", "b", "c"])
    table = pd.DataFrame({"image_id": ["ring-7", "8", "lens-7"], "sha256": ["a", "b", "d"]})
    found = with_new_names(earlier, table)
    assert found.set_index("image_id")["split"].to_dict() == {"ring-7": "test", "8": "train", "9": "test"}
    assert with_new_names(earlier.drop(columns="sha256"), table)["image_id"].tolist() == ["7", "8", "9"]
