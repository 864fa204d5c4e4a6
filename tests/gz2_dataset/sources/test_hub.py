"""Datasets in Parquet: their own names, columns and versions."""

import datasets
import pytest

from gz2_dataset import VOTE_COLUMNS, UserError
from gz2_dataset.rules import Condition, Rule
from gz2_dataset.sources.hub import Columns
from gz2_dataset.sources.sources import read_source
from gz2_dataset.votes import VOTES

from .conftest import classes


def test_a_hub_dataset_with_its_own_names_gives_the_same_classes(class_list, votes, tmp_path):
    named = VOTES[VOTES["hub"] != ""]
    columns = {f"{row.hub}_fraction": votes[row.column].to_numpy() for row in named.itertuples()}
    images = [{"bytes": (class_list / f"images/{i}.jpg").read_bytes(), "path": None} for i in votes.index]
    rows = {"image": images, "id_str": list(votes.index), **columns}
    folder = tmp_path / "hub"
    folder.mkdir()
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    table.select(range(6)).to_parquet(folder / "train-00000-of-00001.parquet")
    table.select(range(6, 11)).to_parquet(folder / "test-00000-of-00001.parquet")
    source = read_source(folder)
    assert source.kind == "hub"
    assert classes(source) == classes(read_source(class_list))
    assert len(source.vote_columns) == 30, "the odd features are not published there"
    assert source.read(source.table["file"][0]) == images[0]["bytes"]


def test_columns_of_a_dataset_may_have_any_name(class_list, votes, tmp_path):
    content = (class_list / "images/g0-0-0.jpg").read_bytes()
    rows = {"cutout": [{"bytes": content, "path": None}] * 2, "name": ["a", "b"], "kind": ["ring", ""]}
    rows |= {name: votes[name].head(2).tolist() for name in VOTE_COLUMNS}
    (tmp_path / "hub").mkdir()
    table = datasets.Dataset.from_dict(rows).cast_column("cutout", datasets.Image())
    table.to_parquet(tmp_path / "hub/x.parquet")
    source = read_source(tmp_path / "hub", columns=Columns("cutout", "kind", "name"))
    assert (source.kind, source.vote_columns) == ("hub", ()), "the classes that are named, not those of the votes"
    assert classes(source) == ["ring", ""]
    assert source.read(source.table["file"][1]) == content
    for columns, complaint in (
        (Columns("cutout", "kind"), r"an id of each galaxy, .* --id_column, one of cutout, name, kind"),
        (Columns("cutout", "sort", "name"), r"no column 'sort'; name it with --label_column, one of cutout"),
        (Columns("picture"), r"no column 'picture'; name it with --image_column"),
    ):
        with pytest.raises(UserError, match=complaint):
            read_source(tmp_path / "hub", "hub", columns=columns)
    with pytest.raises(UserError, match=r"kind class_list; .*--revision are for datasets of the Hub"):
        read_source(class_list, "class_list", columns=Columns(revision="v1"))


def test_a_version_of_a_dataset_is_asked_for_by_its_name(monkeypatch):
    asked = {}

    def load(name: str, **options):
        asked.update(options, name=name)
        raise ValueError("no network")

    monkeypatch.setattr("datasets.load_dataset", load)
    with pytest.raises(UserError, match="no network"):
        read_source("someone/galaxies", "hub", columns=Columns(revision="v2"))
    assert asked == {"name": "someone/galaxies", "revision": "v2"}


def test_counts_become_fractions_of_those_who_were_asked(class_list, tmp_path):
    answers = ("smooth", "featured-or-disk", "artifact")
    rows = {f"smooth-or-featured-gz2_{a}": [n, 0] for a, n in zip(answers, (30, 9, 1), strict=True)}
    rows |= {f"how-rounded-gz2_{a}": [n, 0] for a, n in zip(("round", "in-between", "cigar"), (24, 3, 3), strict=True)}
    image = (class_list / "images/g0-0-0.jpg").read_bytes()
    rows |= {"image": [{"bytes": image, "path": None}] * 2, "id_str": ["a", "b"]}
    (tmp_path / "hub").mkdir()
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    table.to_parquet(tmp_path / "hub/x.parquet")
    source = read_source(tmp_path / "hub", rules=(Rule("round", (Condition("Class7.1", 0.8),)),))
    assert source.table["Class1.1"].tolist() == [0.75, 0]
    assert source.table["Class7.1"].tolist() == [0.8, 0]
    assert classes(source) == ["round", ""]


def test_rules_that_ask_for_votes_which_are_not_there_are_refused(class_list, tmp_path):
    image = (class_list / "images/g0-0-0.jpg").read_bytes()
    answers = {f"bar-gz2_{a}_fraction": [0.5] for a in ("yes", "no")}
    (tmp_path / "hub").mkdir()
    rows = {"image": [{"bytes": image, "path": None}], "id_str": ["a"], **answers}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "hub/x.parquet")
    with pytest.raises(UserError, match=r"the rules use Class1\.1"):
        read_source(tmp_path / "hub")
    barred = (Rule("barred", (Condition("Class3.1", 0.5),)),)
    assert classes(read_source(tmp_path / "hub", rules=barred)) == ["barred"]
