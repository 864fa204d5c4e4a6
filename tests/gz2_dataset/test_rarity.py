"""A class made rare on purpose: which galaxies it keeps, where the others go, and that nothing is lost."""

import datasets
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gz2_dataset import UserError, build, load
from gz2_dataset.audit.audit import audit
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.rarity import make_rare

SPLITS = ("train", "validation", "test")


def survey(size: int) -> pd.DataFrame:
    rows = [(f"{name}{i}", name, SPLITS[i % 3]) for name in ("ring", "bar") for i in range(3 * size)]
    return pd.DataFrame(rows, columns=["image_id", "galaxy_class", "split"])


def kept(table: pd.DataFrame) -> set[str]:
    return set(table.loc[(table["galaxy_class"] == "ring") & (table["split"] == "train"), "image_id"])


@given(st.integers(1, 30), st.integers(0, 5), st.sampled_from(["reserve", "unlabelled"]), st.randoms())
def test_only_training_galaxies_of_the_class_move_and_none_is_lost(count, draw, others, random):
    table = survey(30)
    order = list(range(len(table)))
    random.shuffle(order)
    found = make_rare(table.iloc[order], {"ring": count}, draw, others).sort_index()
    moved = found["split"] == others
    assert found["image_id"].equals(table["image_id"])
    assert (len(kept(found)), moved.sum()) == (count, 30 - count)
    assert found[~moved].equals(table[~moved])
    assert set(table[moved]["split"]) | set(table[moved]["galaxy_class"]) <= {"train", "ring"}
    assert set(found[moved]["galaxy_class"]) <= {"ring" if others == "reserve" else ""}
    assert kept(found) == kept(make_rare(table, {"ring": count}, draw)), "the order of rows does not matter"


def test_another_draw_keeps_others_and_more_galaxies_include_the_fewer():
    draws = [kept(make_rare(survey(60), {"ring": 10}, draw)) for draw in range(3)]
    assert len(set(map(frozenset, draws))) == 3
    assert kept(make_rare(survey(60), {"ring": 5}, 0)) < draws[0] < kept(make_rare(survey(60), {"ring": 20}, 0))


@pytest.mark.parametrize("count", [0, 31])
def test_a_class_cannot_keep_more_than_it_has_or_nothing(count):
    with pytest.raises(UserError, match=f"keep ring={count}: the class has 30 training galaxies"):
        make_rare(survey(30), {"ring": count})


def members(folder) -> dict[str, dict[str, int | None]]:
    return {split: dict(zip(rows["image_id"], rows["label"], strict=True)) for split, rows in load(str(folder)).items()}


@pytest.fixture(scope="module")
def rare(toy_source, tmp_path_factory):
    """The toy survey with three edge-on galaxies for training, built by draw and by where the others go."""

    def made(draw: int, others: str):
        output = folder / f"{draw}-{others}"
        if not output.exists():
            given = {"test_per_class": 4, "validation_per_class": 1}
            build(toy_source, output, **given, keep="edge_on=3", draw=draw, others=others)
        return output

    folder = tmp_path_factory.mktemp("rare")
    return made


def test_a_build_sets_galaxies_aside_with_their_class(rare, toy_data):
    before, after = members(toy_data), members(rare(0, "reserve"))
    assert {split: len(rows) for split, rows in after.items()} == {
        "train": 66 - 12,
        "validation": 5,
        "test": 19,
        "unlabelled": 12,
        "reserve": 12,
    }
    assert after["train"] | after["reserve"] == before["train"]
    assert [after[name] for name in ("validation", "test", "unlabelled")] == [
        before[name] for name in ("validation", "test", "unlabelled")
    ]
    assert len(set(after["reserve"].values())) == 1
    assert datasets.load_dataset(str(rare(0, "reserve")), split="reserve").num_rows == 12


def test_a_build_hides_the_class_of_galaxies_among_the_unlabelled(rare, toy_data):
    before, after = members(toy_data), members(rare(0, "unlabelled"))
    assert "reserve" not in after
    assert set(after["unlabelled"].values()) == {None}
    assert after["train"].keys() | after["unlabelled"].keys() == before["train"].keys() | before["unlabelled"].keys()
    assert after["train"] == members(rare(0, "reserve"))["train"], "whichever way the others go, the same stay"
    assert after["test"] == before["test"]


def test_two_draws_differ(rare):
    one, other = (members(rare(draw, "reserve")) for draw in (0, 1))
    assert one["train"].keys() != other["train"].keys()
    assert one["test"] == other["test"]


@pytest.mark.parametrize("others", ["reserve", "unlabelled"])
def test_a_rebuild_moves_no_galaxy_and_without_keep_all_come_back(others, rare, toy_data, toy_source, tmp_path):
    given = {"test_per_class": 4, "validation_per_class": 1}
    for _ in range(2):
        build(toy_source, tmp_path / "again", **given, keep="edge_on=3", others=others)
        assert members(tmp_path / "again") == members(rare(0, others))
        load.cache_clear()
    build(toy_source, tmp_path / "again", **given)
    assert members(tmp_path / "again") == members(toy_data)


@pytest.mark.parametrize("others", ["reserve", "unlabelled"])
def test_the_record_and_the_card_say_so(others, rare):
    record = BuildRecord.read(rare(1, others))
    assert (record.set_aside, record.draw, record.others) == ({"edge_on": 12}, 1, others)
    assert record.counts["train"]["edge_on"] == 3
    card = (rare(1, others) / "README.md").read_text()
    assert f"--keep edge_on=3 --draw 1 --others {others}" in card
    assert f"12 of its training galaxies are in {others} instead" in card


def test_an_audit_knows_that_classes_are_hidden_on_purpose(mock_survey, tmp_path):
    given = {"test_per_class": 2, "validation_per_class": 1}
    build(mock_survey, tmp_path / "data", **given, keep="spiral=2", others="unlabelled")
    found = audit(tmp_path / "data")
    assert found.problems == []
    (spiral,) = (row for row in found.classes if row.galaxy_class == "spiral")
    assert "of them unlabelled on purpose" in spiral.explanation


def test_a_place_for_the_others_that_is_none_is_refused(toy_source, tmp_path):
    with pytest.raises(UserError, match=r"others 'test'.*reserve or unlabelled"):
        build(toy_source, tmp_path / "data", keep="edge_on=3", others="test")
