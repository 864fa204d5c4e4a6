"""Kaggle's layout, whole and broken, and its download."""

import shutil
import sys
import types
import zipfile

import pandas as pd
import pytest

from gz2_dataset import CLASS_NAMES, VOTE_COLUMNS, UserError
from gz2_dataset.sources.kaggle import download_from_kaggle
from gz2_dataset.sources.sources import read_source

from .conftest import CSV, classes, edit, zip_folder


def test_kaggle_votes_become_the_same_classes_as_the_list(kaggle, class_list):
    by_votes, by_list = read_source(kaggle), read_source(class_list)
    assert (by_votes.kind, by_list.kind) == ("kaggle", "class_list")
    assert by_votes.class_names == by_list.class_names == CLASS_NAMES
    assert classes(by_votes) == classes(by_list)
    assert by_votes.vote_columns == VOTE_COLUMNS
    assert by_votes.table["Class7.1"].max() == 0.8
    assert by_votes.found == dict.fromkeys(CLASS_NAMES, 2)


@pytest.mark.parametrize("whole", [False, True])
def test_kaggles_zips_are_read_as_they_are_served(kaggle, tmp_path, whole):
    """Single zips in a folder, and all of them within the zip of the whole competition."""
    plain = read_source(kaggle)
    served = tmp_path / "served"
    served.mkdir()
    zip_folder(kaggle / "images_training_rev1", served / "images_training_rev1.zip")
    with zipfile.ZipFile(served / "training_solutions_rev1.zip", "w") as archive:
        archive.write(kaggle / CSV, CSV)
    (served / "images_test_rev1.zip").write_text("not wanted, so not even opened")
    if whole:
        with zipfile.ZipFile(tmp_path / "galaxy-zoo-the-galaxy-challenge.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in served.iterdir():
                archive.write(file, file.name)
        served = tmp_path / "galaxy-zoo-the-galaxy-challenge.zip"
    zipped = read_source(served)
    assert zipped.kind == "kaggle"
    columns = ["image_id", "galaxy_class", *VOTE_COLUMNS]
    pd.testing.assert_frame_equal(zipped.table[columns], plain.table[columns])
    assert [*map(zipped.read, zipped.table["file"])] == [*map(plain.read, plain.table["file"])]


def test_rows_and_images_without_counterpart_are_counted(kaggle):
    (kaggle / "images_training_rev1/g0-5-0.jpg").rename(kaggle / "images_training_rev1/stranger.jpg")
    source = read_source(kaggle)
    assert source.skipped == {"rows without image": 1, "images without row": 1}
    assert source.rows == 11


@pytest.mark.parametrize("value", ["nan", "NaN", "-0.01", "1.01", "inf", "1e9"])
def test_a_row_with_an_impossible_vote_is_left_out_and_counted(kaggle, value):
    def spoil(table):
        table.loc[3, "Class9.2"] = value
        return table

    edit(kaggle / CSV, spoil)
    source = read_source(kaggle)
    assert source.skipped["rows with a vote fraction that is not a number from 0 to 1"] == 1
    assert "g0-1-1" not in set(source.table["image_id"])
    assert len(source.table) == 10


def with_bom(text: str) -> str:
    return "\ufeff" + text


def quoted(text: str) -> str:
    return "\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in text.splitlines())


@pytest.mark.parametrize("disguise", [with_bom, lambda text: text.replace("\n", "\r\n"), quoted])
def test_a_csv_as_spreadsheets_write_it_reads_alike(kaggle, disguise):
    plain = read_source(kaggle).table
    (kaggle / CSV).write_bytes(disguise((kaggle / CSV).read_text()).encode())
    pd.testing.assert_frame_equal(read_source(kaggle).table, plain)


BROKEN = {
    "no such folder": lambda d: shutil.rmtree(d),
    "holds neither": lambda d: [shutil.rmtree(d), d.mkdir()],
    "the file is empty": lambda d: (d / CSV).write_text(""),
    "has a header but no rows": lambda d: edit(d / CSV, lambda t: t[:0]),
    "column Class7.3 is missing": lambda d: edit(d / CSV, lambda t: t.drop(columns="Class7.3")),
    "a vote fraction is not a number": lambda d: edit(d / CSV, lambda t: t.assign(**{"Class1.1": "many"})),
    r"outside \[0, 1\]": lambda d: edit(d / CSV, lambda t: t.assign(**{"Class1.1": "47"})),
    "appears twice": lambda d: edit(d / CSV, lambda t: pd.concat([t, t[:1]])),
    r"'\.\./g0-0-0' cannot be a file name": lambda d: edit(d / CSV, lambda t: t.assign(GalaxyID="../" + t["GalaxyID"])),
    "GalaxyID '' cannot be": lambda d: edit(d / CSV, lambda t: t.assign(GalaxyID=t["GalaxyID"].replace("g0-0-0", ""))),
    "cannot be read as CSV": lambda d: (d / CSV).write_bytes(b"GalaxyID,Class1.1\n\xff\xfe\x00,1\n"),
    "holds none of the images": lambda d: [f.unlink() for f in (d / "images_training_rev1").iterdir()],
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_source_is_refused_in_one_line(kaggle, complaint):
    BROKEN[complaint](kaggle)
    with pytest.raises(UserError, match=complaint) as error:
        read_source(kaggle)
    assert "\n" not in str(error.value)
    assert str(kaggle) in str(error.value)


def test_a_download_uses_the_users_credentials_or_says_what_to_do(monkeypatch, tmp_path):
    asked = []

    def download(competition, path):
        asked.append((competition, path))
        return str(tmp_path / path)

    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(competition_download=download))
    assert download_from_kaggle() == str(tmp_path)
    assert [path for _, path in asked] == ["training_solutions_rev1.zip", "images_training_rev1.zip"]

    def refuse(competition, path):
        raise RuntimeError("403 Client Error.\n\nYou don't have permission")

    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(competition_download=refuse))
    with pytest.raises(UserError, match=r"403 Client Error\. You don't have permission; accept the rules") as error:
        download_from_kaggle()
    assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(UserError, match="pip install"):
        download_from_kaggle()
