"""The record of a build: written and read alike, also by files of other versions; what is damaged is refused."""

import json
from dataclasses import fields, replace

import pytest

from gz2_dataset import CLASS_NAMES, RULES, UserError
from gz2_dataset.build_record import BUILD_FILE, BuildRecord

RECORD = BuildRecord(
    source="kaggle",
    config_name="five_class",
    rules=RULES,
    classes=CLASS_NAMES,
    rows=99,
    found=dict.fromkeys(CLASS_NAMES, 9),
    counts={"train": dict.fromkeys(CLASS_NAMES, 6), "test": dict.fromkeys(CLASS_NAMES, 2), "unlabelled": {"": 50}},
    skipped={"rows without image": 4},
    moved={"exact": 1, "near": 4},
    test_per_class=2,
    validation_per_class=0,
    num_folds=3,
    fold=1,
    center_crop=0,
    notes=("a note", "\N{GREEK SMALL LETTER ALPHA} |"),
)


def read(**content) -> BuildRecord:
    return BuildRecord.from_json(json.dumps(content), "build.json")


def test_what_is_written_is_read_again(tmp_path):
    (tmp_path / BUILD_FILE).write_text(RECORD.to_json())
    assert BuildRecord.read(tmp_path) == RECORD
    own = replace(RECORD, rules=None)
    assert BuildRecord.from_json(own.to_json().encode(), "") == own


def test_the_file_is_a_plain_object_that_other_programs_read():
    content = json.loads(RECORD.to_json())
    assert list(content) == [field.name for field in fields(BuildRecord)]
    assert content["classes"] == list(CLASS_NAMES)
    assert content["rules"][3]["conditions"][0]["column"] == "Class1.2"
    assert content["counts"]["unlabelled"] == {"": 50}


def test_a_file_of_an_earlier_version_is_read_and_had_the_crop_of_its_time():
    old = read(source="class_list", classes=["ring"], counts={"train": {"ring": 3}})
    assert (old.center_crop, old.rules, old.rows, old.num_folds, old.notes) == (224, None, None, 1, ())
    assert read(source="mock", classes=["ring"], counts={}, center_crop=0).center_crop == 0


def test_what_a_later_version_adds_is_passed_over():
    content = json.loads(RECORD.to_json())
    assert read(**content, telescope="Rubin") == RECORD


def test_galaxies_of_a_class_are_summed_over_the_splits():
    assert RECORD.per_class() == dict.fromkeys(CLASS_NAMES, 8)
    assert RECORD.per_class("test") == dict.fromkeys(CLASS_NAMES, 2)
    assert RECORD.per_class("validation") == dict.fromkeys(CLASS_NAMES, 0)
    table = RECORD.count_table
    assert table.loc["(no class)"].to_dict() == {"train": 0, "test": 0, "unlabelled": 50, "all": 50}
    assert table.loc["spiral", "all"] == 8


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not JSON"),
        ("7", "is no record of a build"),
        ("[]", "has no 'source'"),
        ('{"source": "kaggle", "classes": []}', "has no 'counts'"),
        ('{"source": "kaggle", "classes": [], "counts": {}, "rules": [{"galaxy_class": "a"}]}', "no record of a build"),
        ('{"source": "kaggle", "classes": [], "counts": {}, "rules": 3}', "no record of a build"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, text, complaint):
    (tmp_path / BUILD_FILE).write_text(text)
    with pytest.raises(UserError, match=complaint) as error:
        BuildRecord.read(tmp_path)
    assert str(tmp_path / BUILD_FILE) in str(error.value)
    assert "build the dataset again" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_record_is_no_dataset(tmp_path):
    with pytest.raises(UserError, match="build it first"):
        BuildRecord.read(tmp_path)
