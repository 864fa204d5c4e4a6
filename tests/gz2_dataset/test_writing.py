"""build: what it writes, that it writes the same again, continues after an interruption, and that nothing leaks."""

import os
import shutil
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from gz2_dataset import CLASS_NAMES, RULES, VOTE_COLUMNS, UserError, build, load, load_arrays, plan, writing
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.loading import listed_galaxies
from gz2_dataset.pictures import save_pictures
from gz2_dataset.rules import read_rules
from gz2_dataset.splits import check_no_leak

from ..conftest import ROOT, write_class_list
from .test_images import huge_png

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


def test_a_second_build_is_byte_identical(toy_data, toy_source, tmp_path):
    first = tree(toy_data)
    again = tmp_path / "again"
    for _ in range(2):  # afresh, then over itself
        build(toy_source, again, test_per_class=4, validation_per_class=1)
        assert tree(again) == first
    assert [p.name for p in tmp_path.iterdir()] == ["again"], "nothing is left beside the output"


@pytest.fixture
def tiny_shards(monkeypatch):
    """So that even toy splits have several shards."""
    monkeypatch.setattr(plan.cut_shards, "__defaults__", (4096,))


class Stopped(Exception):
    pass


@pytest.fixture
def stopping(monkeypatch):
    """Stop the build before it writes more than this many shards (None: let it end); the names of those written."""
    write_parquet, written = writing.write_parquet, []

    def stop_after(shards: int | None) -> list[str]:
        def write(plan, shard, path):
            if len(written) == shards:
                raise Stopped
            write_parquet(plan, shard, path)
            written.append(path.name)

        monkeypatch.setattr(writing, "write_parquet", write)
        return written

    return stop_after


@pytest.mark.parametrize("shards", [0, 1, 5])
def test_an_interrupted_build_goes_on_and_ends_alike(toy_source, tmp_path, stopping, tiny_shards, shards):
    build(toy_source, tmp_path / "whole")
    expected = tree(tmp_path / "whole")
    written = stopping(shards)
    with pytest.raises(Stopped):
        build(toy_source, tmp_path / "data")
    assert len(written) == shards
    assert not (tmp_path / "data").exists()
    (tmp_path / ".data.partial/dataset/data/.half-train-00000.parquet").write_bytes(b"as a killed build leaves it")
    stopping(None)
    build(toy_source, tmp_path / "data")
    assert sorted(f"data/{name}" for name in written) == sorted(n for n in expected if n.endswith(".parquet"))
    assert tree(tmp_path / "data") == expected
    assert {p.name for p in tmp_path.iterdir()} == {"data", "whole"}, "nothing is left beside the output"


def test_an_earlier_build_stays_until_the_new_one_is_whole(toy_source, tmp_path, stopping, tiny_shards):
    build(toy_source, tmp_path / "data")
    before = tree(tmp_path / "data")
    stopping(5)
    with pytest.raises(Stopped):
        build(toy_source, tmp_path / "data", validation_per_class=2)
    assert tree(tmp_path / "data") == before
    load.cache_clear()
    assert sum(len(split) for split in load(str(tmp_path / "data")).values()) == 102
    stopping(None)
    build(toy_source, tmp_path / "data", validation_per_class=2)
    assert tree(tmp_path / "data") != before
    assert {p.name for p in tmp_path.iterdir()} == {"data"}


def test_what_a_user_adds_below_the_card_survives_a_rebuild(toy_source, tmp_path):
    build(toy_source, tmp_path / "data")
    card = tmp_path / "data/README.md"
    generated = card.read_text()
    card.write_text(generated.replace("## Splits", "## Lost") + "Cite Herschel 1789.\n")
    build(toy_source, tmp_path / "data")
    assert card.read_text() == generated + "Cite Herschel 1789.\n"


def test_folds_test_different_galaxies_of_the_same_dataset(toy_source, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(toy_source, raw)
    labels = pd.read_csv(raw / "labels.csv", keep_default_na=False)
    first = labels[labels["galaxy_class"] == "spiral"]["image_id"].iloc[0]
    for i in range(6):  # of which some are tested in other folds
        shutil.copy(raw / f"images/{first}.jpg", raw / f"images/copy{i}.jpg")
        labels.loc[len(labels)] = [f"copy{i}", "spiral"]
    labels.to_csv(raw / "labels.csv", index=False)
    listed = []
    for fold in range(3):
        record = build(raw, tmp_path / str(fold), test_per_class=4, validation_per_class=1, num_folds=3, fold=fold)
        assert (record.num_folds, record.fold) == (3, fold)
        assert BuildRecord.read(tmp_path / str(fold)) == record
        assert record.counts["validation"] == dict.fromkeys(CLASS_NAMES, 1)
        load(str(tmp_path / str(fold)))  # refuses a leak
        table = pd.read_csv(tmp_path / f"{fold}/splits.csv", dtype=str, keep_default_na=False)
        assert ((table["split"] == "test") == (table["fold"] == str(fold))).all()
        listed.append(table.set_index("image_id").sort_index())
    for table in listed[1:]:
        pd.testing.assert_frame_equal(table.drop(columns="split"), listed[0].drop(columns="split"))
    cigars = listed[0][listed[0]["galaxy_class"] == "cigar_shaped_smooth"]
    assert sorted(cigars["fold"].value_counts().to_dict().items()) == [("0", 4), ("1", 3), ("2", 3)]
    assert "This is fold 2 of 3" in (tmp_path / "2/README.md").read_text()
    for wrong in ({}, {"num_folds": 3, "fold": 1}, {"num_folds": 4, "fold": 2}):
        with pytest.raises(UserError, match=r"splits\.csv: is not of fold"):
            build(raw, tmp_path / "2", **wrong)
    with pytest.raises(UserError, match="fold 3 of 3"):
        build(raw, tmp_path / "3", num_folds=3, fold=3)


def test_what_an_interrupted_build_left_is_not_used_for_another_source(toy_source, tmp_path, monkeypatch, tiny_shards):
    source = tmp_path / "source"
    shutil.copytree(toy_source, source)
    monkeypatch.setattr(writing, "save_pictures", lambda folder, crop: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(source, tmp_path / "data")
    monkeypatch.undo()
    image = source / "images/g0-0-0.jpg"
    shutil.copy(source / "images/g0-0-1.jpg", image)
    content = image.read_bytes() + b"changed"
    image.write_bytes(content)
    build(source, tmp_path / "data", near_duplicates=False)
    stored = [row["image"]["bytes"] for split in load(str(tmp_path / "data")).values() for row in raw(split)]
    assert content in stored


def test_two_builds_at_once_do_not_mix(toy_source, tmp_path, monkeypatch):
    def meanwhile(folder, center_crop):
        with pytest.raises(UserError, match="another command is writing there"):
            build(toy_source, tmp_path / "data")
        save_pictures(folder, center_crop)

    monkeypatch.setattr(writing, "save_pictures", meanwhile)
    build(toy_source, tmp_path / "data")
    assert len(load(str(tmp_path / "data"))["test"]) == 27


@pytest.mark.parametrize("moment", ["between the renames", "while the old one is removed"])
def test_a_rebuild_that_is_killed_while_it_replaces_the_dataset_loses_nothing(
    toy_source, tmp_path, monkeypatch, moment
):
    """Neither the split of each galaxy nor the user's own lines, and the same command goes on."""
    source, output = shutil.copytree(toy_source, tmp_path / "source"), tmp_path / "data"
    everything = pd.read_csv(source / "labels.csv", keep_default_na=False)
    everything[::2].to_csv(source / "labels.csv", index=False)
    build(source, output, test_per_class=4)
    before = pd.read_csv(output / "splits.csv", keep_default_na=False)
    with (output / "README.md").open("a") as card:
        card.write("my own lines\n")
    everything.to_csv(source / "labels.csv", index=False)
    rename, remove = Path.rename, shutil.rmtree

    def killed_rename(self, target):
        rename(self, target)
        if Path(target).name == "old":
            raise KeyboardInterrupt

    def killed_remove(path, **options):
        if Path(path).name == "old" and Path(path).exists():
            raise KeyboardInterrupt
        remove(path, **options)

    with monkeypatch.context() as context:
        if moment == "between the renames":
            context.setattr(Path, "rename", killed_rename)
        else:
            context.setattr(shutil, "rmtree", killed_remove)
        with pytest.raises(KeyboardInterrupt):
            build(source, output, test_per_class=4)
    assert output.exists() == (moment != "between the renames")
    build(source, output, test_per_class=4)
    after = pd.read_csv(output / "splits.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(before.merge(after)[before.columns], before, check_like=True)
    assert "my own lines" in (output / "README.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "source"]


def test_a_mount_point_is_refused_before_any_work(toy_source, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "is_mount", lambda self: self == tmp_path / "data")
    with pytest.raises(UserError, match="is a mount point"):
        build(toy_source, tmp_path / "data")


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
    with pytest.raises(UserError, match="not a dataset of an earlier build"):
        build(toy_source, tmp_path)
    with pytest.raises(UserError, match="not a dataset of an earlier build"):
        build(toy_source, tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "irreplaceable"


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
        check_no_leak("tampered", listed_galaxies(opened))


@pytest.mark.parametrize("open_folder", [load, datasets.load_dataset])
def test_folders_of_the_same_name_and_a_rebuilt_one_are_not_mixed_up(tmp_path, open_folder):
    """The cache key of load_dataset is the folder's last name and its card."""
    for number in (10, 20):
        raw = write_class_list(tmp_path / f"raw{number}", dict.fromkeys(CLASS_NAMES, number), seed=number)
        build(raw, tmp_path / f"{number}/data")
        assert sum(len(split) for split in open_folder(str(tmp_path / f"{number}/data")).values()) == 5 * number
    build(raw, tmp_path / "10/data")
    load.cache_clear()
    assert sum(len(split) for split in open_folder(str(tmp_path / "10/data")).values()) == 100


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


HOSTILE = {
    "images that are empty files": b"",
    "files that are not JPEG, PNG, TIFF or FITS": b"<html>404</html>",
    "images that are cut short": None,
    "images of more than 67 million pixels": huge_png(30_000),
}


def test_hostile_images_are_left_out_and_counted(tmp_path):
    raw = write_class_list(tmp_path / "raw", dict.fromkeys(CLASS_NAMES, 20))
    for i, content in enumerate(HOSTILE.values()):
        path = raw / f"images/g0-1-{i}.jpg"
        path.write_bytes(path.read_bytes()[:-300] if content is None else content)
    record = build(raw, tmp_path / "data")
    assert record.skipped == dict.fromkeys(HOSTILE, 1)
    assert all(f"{reason}, left out: 1" in record.notes for reason in HOSTILE)
    left_out = pd.read_csv(tmp_path / "data/left_out.csv")
    assert dict(zip(left_out["image_id"], left_out["reason"], strict=True)) == {
        f"g0-1-{i}": reason for i, reason in enumerate(HOSTILE)
    }
    assert sum(len(split) for split in load(str(tmp_path / "data")).values()) == 96


def test_a_class_that_is_all_broken_is_refused_with_the_reason(tmp_path):
    raw = write_class_list(tmp_path / "raw", dict.fromkeys(CLASS_NAMES, 2))
    for i in range(2):
        (raw / f"images/g0-2-{i}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"no image of class cigar_shaped_smooth .*; 2 images that are empty files"):
        build(raw, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_repeat_of_a_held_out_galaxy_leaves_train_and_is_counted(tmp_path):
    """A copy by bytes, and a turned and recompressed one; those of galaxies that are not held out stay."""
    raw = write_class_list(tmp_path / "raw", dict.fromkeys(CLASS_NAMES, 20))
    few = {"test_per_class": 2, "validation_per_class": 1}  # so that none of the copies is for testing itself
    build(raw, tmp_path / "first", **few)
    first = pd.read_csv(tmp_path / "first/splits.csv")
    of = {split: first[first["split"] == split]["image_id"].iloc[0] for split in ("test", "train")}
    labels = pd.read_csv(raw / "labels.csv")
    for split, image_id in of.items():
        path = raw / f"images/{image_id}.jpg"
        shutil.copy(path, raw / f"images/same-{split}.jpg")
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(raw / f"images/turned-{split}.jpg", quality=90)
        for kind in ("same", "turned"):
            labels.loc[len(labels)] = [f"{kind}-{split}", "spiral"]
    labels.to_csv(raw / "labels.csv", index=False)
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    record = build(raw, tmp_path / "second", **few)
    assert record.moved == {"exact": 1, "near": 1}
    after = pd.read_csv(tmp_path / "second/splits.csv")
    assert set(after["image_id"]) == set(first["image_id"]) | {"same-train", "turned-train"}


def test_an_image_that_is_in_the_earlier_build_stays_before_its_new_copy(tmp_path):
    raw = write_class_list(tmp_path / "raw", dict.fromkeys(CLASS_NAMES, 20))
    build(raw, tmp_path / "data")
    first = pd.read_csv(tmp_path / "data/splits.csv")
    train = first[first["split"] == "train"]
    for i, image_id in enumerate(train["image_id"]):  # so many new spirals that some of them are for testing
        shutil.copy(raw / f"images/{image_id}.jpg", raw / f"images/copy{i}.jpg")
    labels = pd.read_csv(raw / "labels.csv")
    new = pd.DataFrame({"image_id": [f"copy{i}" for i in range(len(train))], "galaxy_class": "spiral"})
    pd.concat([labels, new]).to_csv(raw / "labels.csv", index=False)
    build(raw, tmp_path / "data")
    after = pd.read_csv(tmp_path / "data/splits.csv")
    assert set(first["image_id"]) <= set(after["image_id"])
    assert not after["image_id"][after["split"].isin(["test", "validation"])].str.startswith("copy").any()


def kaggle_like(folder: Path, toy_source: Path) -> Path:
    """The toy survey in the Kaggle layout; bars as the third question, for the user's own rules."""
    labels = pd.read_csv(toy_source / "labels.csv", keep_default_na=False)
    shutil.copytree(toy_source / "images", folder / "images_training_rev1")
    conditions = {rule.galaxy_class: {c.column: c.threshold for c in rule.conditions} for rule in RULES}
    rows = [dict.fromkeys(VOTE_COLUMNS, 0.0) | conditions.get(name, {}) for name in labels["galaxy_class"]]
    votes = pd.DataFrame(rows, index=labels["image_id"])
    votes["Class3.1"] = (np.arange(len(votes)) % 3 == 0) * 0.7
    votes.to_csv(folder / "training_solutions_rev1.csv", index_label="GalaxyID")
    return folder


def test_all_galaxies_with_their_votes_and_the_same_test_galaxies(tmp_path, toy_source):
    kaggle = kaggle_like(tmp_path / "kaggle", toy_source)
    build(kaggle, tmp_path / "five")
    record = build(kaggle, tmp_path / "all", config_name="galaxy_zoo_2")
    five, everything = (datasets.load_dataset(str(tmp_path / name)) for name in ("five", "all"))
    assert set(everything) == {"train", "validation", "test"}
    assert everything["test"]["image_id"] == five["test"]["image_id"]
    assert set(everything["train"]["image_id"]) == {*five["train"]["image_id"], *five["unlabelled"]["image_id"]}
    assert record.counts["train"][""] == 12
    assert everything["train"][0]["Class3.1"] in (0, pytest.approx(0.7))
    arrays = load_arrays(str(tmp_path / "all"), "train", 16)
    assert arrays.votes.shape == (len(arrays), 37)
    assert (arrays.labels == -1).sum() == 12
    with pytest.raises(UserError, match="has no vote fractions"):
        build(toy_source, tmp_path / "none", config_name="galaxy_zoo_2")


def test_rules_of_ones_own_make_other_classes(tmp_path, toy_source):
    kaggle = kaggle_like(tmp_path / "kaggle", toy_source)
    condition = {"column": "Class3.1", "threshold": 0.5}
    rules = [
        {"galaxy_class": "barred_spiral", "conditions": [condition, {"column": "Class4.1", "threshold": 0.5}]},
        {"galaxy_class": "barred", "conditions": [condition]},
    ]
    (tmp_path / "bars.yaml").write_text(yaml.safe_dump(rules))
    record = build(kaggle, tmp_path / "data", rules=tmp_path / "bars.yaml")
    assert (record.config_name, record.classes) == ("bars", ("barred_spiral", "barred"))
    assert sum(n for split in record.counts.values() for name, n in split.items() if name) == 34
    assert record.found["barred_spiral"] in (6, 7)
    with pytest.raises(UserError, match="leave --rules out"):
        build(toy_source, tmp_path / "none", rules=tmp_path / "bars.yaml")


BROKEN_RULES = {
    "no table of rules": ["", "- spiral", "{", "- galaxy_class: x", "- {galaxy_class: x, conditions: [], note: y}"],
    "is not a vote fraction": ["- {galaxy_class: x, conditions: [{column: Class12.1, threshold: 0.5}]}"],
    "is not a number from 0 to 1": ["- {galaxy_class: x, conditions: [{column: Class1.1, threshold: 50}]}"],
    "holds no rule": ["[]"],
}


@pytest.mark.parametrize(("complaint", "text"), [(c, text) for c, texts in BROKEN_RULES.items() for text in texts])
def test_broken_rules_are_refused_in_one_line(tmp_path, complaint, text):
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=f"{path}: .*{complaint}") as error:
        read_rules(path)
    assert "\n" not in str(error.value)


def test_classes_of_ones_own_are_a_configuration_of_their_own(tmp_path):
    raw = write_class_list(tmp_path / "raw", {"ring": 20, "merger": 20})
    assert build(raw, tmp_path / "data").config_name == "image_folder"
    with pytest.raises(UserError, match="classes of its own"):
        build(raw, tmp_path / "other", config_name="five_class")
    with pytest.raises(UserError, match="no configuration 'six_class'"):
        build(raw, tmp_path / "other", config_name="six_class")
    with pytest.raises(UserError, match="no such folder or zip"):
        build(tmp_path / "nowhere", tmp_path / "other")
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "data"}, "a refused build leaves nothing"


def raw(split: datasets.Dataset) -> datasets.Dataset:
    return split.cast_column("image", datasets.Image(decode=False))


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real galaxies are not here")
def test_the_real_galaxies_are_counted_right(tmp_path):
    record = build(REAL, tmp_path / "gz2")
    split = pd.DataFrame(record.counts).fillna(0).astype(int).sum(axis=1)
    assert [split[name] for name in (*CLASS_NAMES, "")] == [957, 934, 66, 546, 926, 4719]
    assert record.counts["test"] == dict(zip(CLASS_NAMES, (100, 100, 19, 100, 100), strict=True))
    assert BuildRecord.read(tmp_path / "gz2") == record
