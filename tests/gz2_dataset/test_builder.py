"""build: what it writes, that it writes it again alike, and that nothing leaks."""

import json
import os
from pathlib import Path

import datasets
import pandas as pd
import pytest

from gz2_dataset import CLASS_NAMES, GalaxyZoo2, UserError, build, load
from gz2_dataset.audit import audit
from gz2_dataset.loading import check_no_leak

from ..conftest import ROOT, write_class_list

REAL = ROOT.parent / "shared/data/gz2-real"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_stock_load_dataset_reads_it(toy_data, toy_source):
    opened = datasets.load_dataset(str(toy_data))
    assert {split: len(opened[split]) for split in opened} == {
        "train": 66,
        "validation": 5,
        "test": 19,
        "unlabelled": 12,
    }
    assert opened["train"].features["label"].names == list(CLASS_NAMES)
    assert set(opened["unlabelled"]["label"]) == {None}
    labels = pd.read_csv(toy_source / "labels.csv", keep_default_na=False).set_index("image_id")["galaxy_class"]
    for split in ("train", "validation", "test"):
        for image_id, label in zip(opened[split]["image_id"], opened[split]["label"], strict=True):
            assert labels[image_id] == CLASS_NAMES[label]


def test_jpeg_bytes_are_stored_as_they_came(toy_data, toy_source):
    test = load(str(toy_data))["test"].cast_column("image", datasets.Image(decode=False))
    for row in test:
        assert row["image"]["bytes"] == (toy_source / f"images/{row['image_id']}.jpg").read_bytes()


def test_the_builder_works_as_datasets_builders_do(toy_source, tmp_path):
    builder = GalaxyZoo2(data_dir=str(toy_source), cache_dir=str(tmp_path), test_per_class=4)
    builder.download_and_prepare()
    assert builder.as_dataset(split="test").num_rows == 19


def test_a_second_build_is_byte_identical(toy_data, toy_source, tmp_path):
    first = tree(toy_data)
    again = tmp_path / "again"
    for _ in range(2):  # afresh, then over itself
        build(toy_source, again, test_per_class=4, validation_per_class=1)
        assert tree(again) == first
    assert [p.name for p in tmp_path.iterdir()] == ["again"], "nothing is left beside the output"


def test_a_failed_build_leaves_the_earlier_one(toy_source, tmp_path, monkeypatch):
    output = tmp_path / "data"
    build(toy_source, output)
    before = tree(output)
    monkeypatch.setattr(GalaxyZoo2, "_generate_examples", lambda self, split: 1 / 0)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever datasets makes of it
        build(toy_source, output, test_per_class=2)
    assert tree(output) == before
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_no_galaxy_moves_when_images_are_added(toy_source, tmp_path):
    source = tmp_path / "source"
    more = write_class_list(source, dict.fromkeys(CLASS_NAMES, 15), seed=1)
    old = pd.read_csv(toy_source / "labels.csv", keep_default_na=False)
    build(toy_source, tmp_path / "data", test_per_class=4)
    before = pd.read_csv(tmp_path / "data/splits.csv", keep_default_na=False)
    for image_id in old["image_id"]:
        os.link(toy_source / f"images/{image_id}.jpg", more / f"images/{image_id}.jpg")
    labels = pd.concat([pd.read_csv(more / "labels.csv"), old])
    labels.sample(frac=1, random_state=0).to_csv(more / "labels.csv", index=False)
    build(more, tmp_path / "data", test_per_class=8)
    after = pd.read_csv(tmp_path / "data/splits.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(before.merge(after)[before.columns], before, check_like=True)
    assert len(after) == len(before) + 75


def test_a_folder_that_is_no_dataset_is_not_overwritten(toy_source, tmp_path):
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(UserError, match="no dataset of an earlier build"):
        build(toy_source, tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_splits_share_no_galaxy(toy_data):
    opened = load(str(toy_data))
    ids = [set(opened[split]["image_id"]) for split in opened]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 102


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("split", ["train", "unlabelled", "validation"])
def test_a_galaxy_of_the_test_split_elsewhere_is_refused(toy_data, split, renamed):
    """By its id, and by its bytes under another id."""
    opened = datasets.DatasetDict(load(str(toy_data)))
    stolen = opened["test"].select([0])
    if renamed:
        stolen = stolen.map(lambda row: {"image_id": "innocent"})
    opened[split] = datasets.concatenate_datasets([opened[split], stolen.cast(opened[split].features)])
    with pytest.raises(UserError, match="is also in"):
        check_no_leak("tampered", opened)


def test_raw_folders_are_built_on_the_way_and_anew_when_they_change(tmp_path):
    raw = write_class_list(tmp_path / "raw", dict.fromkeys(CLASS_NAMES, 10))
    assert len(load(str(raw))["test"]) == 15
    load.cache_clear()
    table = pd.read_csv(raw / "labels.csv")
    table[:-1].to_csv(raw / "labels.csv", index=False)
    assert sum(len(split) for split in load(str(raw)).values()) == 49


@pytest.mark.parametrize("data", ["/no/such/folder", "./missing", "just-a-word"])
def test_a_missing_dataset_is_named(data):
    with pytest.raises(UserError, match="no such folder"):
        load(data)


def test_the_audit_finds_what_is_wrong(tmp_path, toy_data, capsys):
    assert audit(toy_data) == []
    assert "cigar_shaped_smooth" in capsys.readouterr().out
    raw = write_class_list(tmp_path / "raw", dict.fromkeys(CLASS_NAMES, 20))
    whole = (raw / "images/g0-0-0.jpg").read_bytes()
    (raw / "images/g0-0-0.jpg").write_bytes(whole[:-200])
    build(raw, tmp_path / "data")
    assert [p.split(": ")[1].split(" (")[0] for p in audit(tmp_path / "data")] == ["image g0-0-0 cannot be decoded"]


@pytest.mark.skipif(not REAL.exists(), reason="the real galaxies are not here")
def test_the_real_galaxies_are_counted_right(tmp_path):
    summary = build(REAL, tmp_path / "gz2")
    split = pd.DataFrame(summary["counts"]).fillna(0).astype(int).sum(axis=1)
    assert [split[name] for name in (*CLASS_NAMES, "")] == [957, 934, 66, 546, 926, 4719]
    assert summary["counts"]["test"] == dict(zip(CLASS_NAMES, (100, 100, 19, 100, 100), strict=True))
    assert json.loads((tmp_path / "gz2/build.json").read_text()) == summary
