"""How a source is recognised, and what the documentation says of each."""

import re
import shutil

import pytest

from gz2_dataset import UserError
from gz2_dataset.sources.sources import KINDS, read_source
from tests.conftest import ROOT

from .conftest import zip_folder


def test_an_image_folder_has_the_classes_of_its_folders(tmp_path, class_list):
    for name in ("ring", "merger"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        shutil.copy(class_list / "images/g0-0-0.jpg", tmp_path / "mine" / name / "same.jpg")
    source = read_source(tmp_path / "mine")
    assert (source.kind, source.class_names) == ("image_folder", ("merger", "ring"))
    assert source.table["image_id"].tolist() == ["merger-same", "ring-same"]
    zipped = read_source(zip_folder(tmp_path / "mine", tmp_path / "mine.zip"))
    assert zipped.table["image_id"].tolist() == ["merger-same", "ring-same"]


def test_a_source_may_be_named_and_is_then_not_guessed(kaggle):
    assert read_source(kaggle, "image_folder").class_names == ("images_training_rev1",)
    with pytest.raises(UserError, match="no source 'kagle'; choose from kaggle"):
        read_source(kaggle, "kagle")
    with pytest.raises(UserError, match=r"holds no labels\.csv"):
        read_source(kaggle, "class_list")


def test_the_page_on_data_has_a_row_for_each_kind_of_source():
    table = (ROOT / "docs/data.md").read_text().partition("| source |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(KINDS)


def test_a_folder_without_any_source_is_told_what_each_would_hold(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(UserError, match="holds neither") as error:
        read_source(tmp_path)
    assert all(kind.sign in str(error.value) for kind in KINDS.values())
    (tmp_path / "ring.png").write_bytes(b"beside the folders")
    with pytest.raises(UserError, match=r"holds no folder of images .* per class"):
        read_source(tmp_path)
