"""Class lists as people write them."""

import pandas as pd
import pytest

from gz2_dataset import UserError
from gz2_dataset.sources.sources import read_source

from .conftest import classes, edit


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_class_list_may_have_another_separator(class_list, separator):
    plain = read_source(class_list).table
    (class_list / "labels.csv").write_text((class_list / "labels.csv").read_text().replace(",", separator))
    pd.testing.assert_frame_equal(read_source(class_list).table, plain)


@pytest.mark.parametrize("form", ["{}.jpg", "images/{}.jpg", " {} "])
def test_a_class_list_may_name_the_files(class_list, form):
    plain = read_source(class_list).table
    edit(class_list / "labels.csv", lambda table: table.assign(image_id=table["image_id"].map(form.format)))
    pd.testing.assert_frame_equal(read_source(class_list).table, plain)


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "null", "N/A", " "])
def test_words_for_a_missing_value_are_no_class(class_list, word):
    plain = read_source(class_list)
    edit(class_list / "labels.csv", lambda table: table.replace({"galaxy_class": {"": word}}))
    assert read_source(class_list).class_names == plain.class_names
    assert classes(read_source(class_list)) == classes(plain)


def test_blanks_around_a_class_are_not_part_of_it(class_list):
    plain = read_source(class_list)
    edit(class_list / "labels.csv", lambda table: table.assign(galaxy_class=table["galaxy_class"].map(" {} ".format)))
    assert classes(read_source(class_list)) == classes(plain)


def test_a_class_list_keeps_positions_and_splits(class_list):
    def add(table):
        return table.assign(ra=range(11), dec="", split=["Test", "train", *[""] * 9])

    edit(class_list / "labels.csv", add)
    table = read_source(class_list).table
    assert table["ra"].tolist() == list(range(11))
    assert table["dec"].isna().all()
    assert table["split"].tolist() == ["test", "train", *[""] * 9]
    edit(class_list / "labels.csv", lambda table: table.assign(split="holdout"))
    with pytest.raises(UserError, match="the column split has 'holdout'; it may have train, training, val"):
        read_source(class_list)


def test_a_missing_column_is_named_with_those_that_are_there(class_list):
    edit(class_list / "labels.csv", lambda table: table.rename(columns={"galaxy_class": "kind"}))
    with pytest.raises(UserError, match=r"column galaxy_class is missing .* it has image_id, kind"):
        read_source(class_list)


def test_ids_that_name_no_image_are_shown_beside_one(class_list):
    edit(class_list / "labels.csv", lambda table: table.assign(image_id="x" + table["image_id"]))
    with pytest.raises(UserError, match=r"\(xg0-0-0 is not the name of one such as images/g0-0-0\.jpg\)"):
        read_source(class_list)
