"""The archive of Galaxy Zoo 2 with the catalogue of Hart et al. 2016."""

import shutil

import pandas as pd
import pytest

from gz2_dataset.sources.sources import read_source
from tests.conftest import ROOT

from .conftest import classes

SHARED = ROOT.parent / "shared/data"


def test_the_archive_with_hart_2016_gives_the_same_classes(archive, class_list):
    source = read_source(archive)
    assert source.kind == "gz2_archive"
    assert classes(source) == classes(read_source(class_list))
    assert source.table["image_id"].tolist() == [str(1000 + i) for i in range(11)]


def test_a_galaxy_that_was_imaged_twice_is_taken_once(archive):
    mapping = pd.read_csv(archive / "gz2_filename_mapping.csv", dtype=str)
    again = mapping[:1].assign(asset_id="9999", sample="stripe82")
    shutil.copy(archive / "images/1000.jpg", archive / "images/9999.jpg")
    pd.concat([mapping, again]).to_csv(archive / "gz2_filename_mapping.csv", index=False)
    source = read_source(archive)
    assert len(source.table) == 11
    assert source.skipped["further images of the same galaxy"] == 1


@pytest.mark.skipif(not SHARED.exists(), reason="the rows of the real catalogue are not here")
def test_real_catalogue_rows_get_the_classes_that_others_gave_them(tmp_path):
    labels = pd.read_csv(SHARED / "gz2-real/labels.csv", keep_default_na=False)
    labels = labels[labels["id_kind"] == "gz2-asset"]
    expected = dict(zip(labels["image_id"].str.removeprefix("asset-"), labels["galaxy_class"], strict=True))
    (tmp_path / "images").mkdir()
    rows = pd.read_csv(SHARED / "gz2-labels/hart16_rows_1000.csv", dtype=str)
    for asset in rows["asset_id"]:
        (tmp_path / f"images/{asset}.jpg").touch()
    rows.to_csv(tmp_path / "gz2_hart16_rows.csv", index=False)
    table = read_source(tmp_path).table
    shown = table[table["image_id"].isin(expected)]
    assert len(shown) > 500
    assert shown["galaxy_class"].tolist() == [expected[asset] for asset in shown["image_id"]]
