"""Which folder is the class, what an image is called, and which splits a user has made already."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from gz2_dataset import UserError
from gz2_dataset.sources.sources import read_source


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def classes(source) -> dict[str, str]:
    return dict(zip(source.table["file"], source.table["galaxy_class"], strict=True))


def test_folders_within_a_class_are_part_of_it_and_a_note_says_so(tmp_path):
    source = read_source(touch(tmp_path / "d", "ring/night1/1.jpg", "ring/night2/1.jpg", "spiral/1.jpg"))
    assert source.class_names == ("ring", "spiral")
    assert sorted(source.table["image_id"])[:2] == ["ring-night1-ring-1", "ring-night2-ring-1"]
    assert source.notes == ("folders within a class are read as part of it: 2 (first ring/night1)",)


def test_folders_above_the_classes_do_not_matter(tmp_path):
    source = read_source(touch(tmp_path / "d", "survey/images/ring/1.jpg", "survey/images/spiral/2.jpg"))
    assert source.class_names == ("ring", "spiral")
    assert source.notes == ()


@pytest.mark.parametrize("inner", ["", "ring/"])
def test_a_zip_of_each_class_is_a_class_without_the_ending(tmp_path, inner):
    for name in ("ring", "spiral"):
        (tmp_path / "d").mkdir(exist_ok=True)
        with zipfile.ZipFile(tmp_path / f"d/{name}.zip", "w") as archive:
            archive.writestr(f"{inner.replace('ring', name)}1.jpg", name)
    assert read_source(tmp_path / "d").class_names == ("ring", "spiral")


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "val", "TEST")])
def test_a_users_own_split_folders_are_kept(tmp_path, names):
    files = [f"{split}/{name}/{i}.jpg" for split in names for name in ("ring", "spiral") for i in range(3)]
    source = read_source(touch(tmp_path / "d", *files))
    assert source.class_names == ("ring", "spiral")
    assert source.table["image_id"].is_unique
    ours = {"train": "train", "Training": "train", "val": "validation", "test": "test", "TEST": "test"}
    assert source.table["split"].tolist() == [ours[file.partition("/")[0]] for file in source.table["file"]]
    assert source.notes[0].startswith("the source's own split folders are kept: ")


def test_what_is_not_used_is_counted_and_named(tmp_path):
    source = read_source(
        touch(tmp_path / "d", "ring/1.jpg", "ring/2.webp", "spiral/1.tif", "spiral/Thumbs.db", "readme.txt", "3.png")
    )
    assert source.unused == {
        "ring/2.webp": "files with the ending .webp, which are no images",
        "spiral/Thumbs.db": "files with the ending .db, which are no images",
        "readme.txt": "files with the ending .txt, which are no images",
        "3.png": "images outside the folders of the classes",
    }
    assert sum(source.skipped.values()) == 4


def test_a_name_that_is_not_utf_8_is_left_out_and_counted(tmp_path):
    touch(tmp_path / "d", "ring/1.jpg", "spiral/2.jpg")
    os.rename(tmp_path / "d/ring/1.jpg", os.fsencode(tmp_path / "d/ring/") + b"galaxie_\xe9.jpg")
    source = read_source(touch(tmp_path / "d", "ring/3.jpg"))
    assert source.skipped == {"files whose names are not UTF-8": 1}
    assert len(source.table) == 2


def test_a_link_that_leads_nowhere_is_no_crash(tmp_path):
    (touch(tmp_path / "d", "ring/1.jpg", "spiral/2.jpg") / "ring/gone.jpg").symlink_to("/nonexistent/g.jpg")
    assert read_source(tmp_path / "d").skipped == {"pipes, devices and links that lead nowhere": 1}


def test_kaggles_images_without_their_table_are_refused_and_one_class_is_noted(tmp_path):
    touch(tmp_path / "kaggle", "images_training_rev1/100008.jpg", "training_solutions_rev1 (1).csv")
    with pytest.raises(UserError, match=r"holds images of Kaggle .*, but no training_solutions_rev1\.csv beside them"):
        read_source(tmp_path / "kaggle")
    source = read_source(touch(tmp_path / "mine", "images/1.jpg", "labels (1).csv"))
    assert source.notes == ("there is only one class, images, so no classifier can be trained",)
    assert source.skipped == {"files with the ending .csv, which are no images": 1}


def test_a_catalogue_in_parquet_beside_the_folders_is_none_of_the_images(tmp_path):
    pd = pytest.importorskip("pandas")
    touch(tmp_path / "d", "ring/1.jpg", "spiral/2.jpg")
    pd.DataFrame({"id_str": ["1"], "ra": [1.0]}).to_parquet(tmp_path / "d/catalogue.parquet")
    assert read_source(tmp_path / "d").kind == "image_folder"


def test_an_earlier_build_within_the_data_is_not_read_as_data(tmp_path):
    touch(tmp_path / "d", "ring/1.jpg", "spiral/2.jpg", "built/build.json", "built/pictures/class_0.jpg")
    pd = pytest.importorskip("pandas")
    (tmp_path / "d/built/data").mkdir()
    pd.DataFrame({"image": [b""]}).to_parquet(tmp_path / "d/built/data/train.parquet")
    source = read_source(tmp_path / "d")
    assert (source.kind, len(source.table), source.skipped) == ("image_folder", 2, {})
    shutil.rmtree(tmp_path / "d/built")
    assert read_source(tmp_path / "d").stamp == source.stamp
