"""Each layout that a user brings, and what is said of one that is broken."""

import shutil

import pandas as pd
import pytest

from gz2_dataset import CLASS_NAMES, VOTE_COLUMNS, UserError
from gz2_dataset.sources import read_source

from ..conftest import write_class_list

COUNTS = dict.fromkeys(CLASS_NAMES, 2) | {"": 1}


@pytest.fixture
def class_list(tmp_path):
    return write_class_list(tmp_path / "list", COUNTS)


@pytest.fixture
def kaggle(class_list, tmp_path):
    """The same images in the Kaggle layout, two galaxies a class."""
    folder = tmp_path / "kaggle"
    shutil.copytree(class_list / "images", folder / "images_training_rev1")
    labels = pd.read_csv(class_list / "labels.csv", keep_default_na=False)
    passing = {
        CLASS_NAMES[0]: {"Class1.1": 0.9, "Class7.1": 0.8},
        CLASS_NAMES[1]: {"Class1.1": 0.9, "Class7.2": 0.8},
        CLASS_NAMES[2]: {"Class1.1": 0.9, "Class7.3": 0.8},
        CLASS_NAMES[3]: {"Class1.2": 0.9, "Class2.1": 0.8},
        CLASS_NAMES[4]: {"Class1.2": 0.9, "Class2.2": 0.8, "Class4.1": 0.7},
    }
    rows = [
        {"GalaxyID": row.image_id} | dict.fromkeys(VOTE_COLUMNS, 0.1) | passing.get(row.galaxy_class, {})
        for row in labels.itertuples()
    ]
    pd.DataFrame(rows).to_csv(folder / "training_solutions_rev1.csv", index=False)
    return folder


def edit(path, change):
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(table).to_csv(path, index=False)


def test_kaggle_votes_become_the_same_classes_as_the_list(kaggle, class_list):
    by_votes, by_list = read_source(kaggle), read_source(class_list)
    assert (by_votes.kind, by_list.kind) == ("kaggle", "class_list")
    assert by_votes.class_names == by_list.class_names == CLASS_NAMES
    assert by_votes.table["galaxy_class"].tolist() == by_list.table["galaxy_class"].tolist()
    assert by_votes.vote_columns == VOTE_COLUMNS
    assert by_votes.table["Class7.1"].max() == 0.8


def test_an_image_folder_has_the_classes_of_its_folders(tmp_path, class_list):
    for name in ("ring", "merger"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        shutil.copy(class_list / "images/g0-0-0.jpg", tmp_path / "mine" / name / "same.jpg")
    source = read_source(tmp_path / "mine")
    assert source.class_names == ("merger", "ring")
    assert source.table["image_id"].tolist() == ["merger-same", "ring-same"]


def test_rows_and_images_without_counterpart_are_counted(kaggle):
    (kaggle / "images_training_rev1/g0-5-0.jpg").rename(kaggle / "images_training_rev1/stranger.jpg")
    assert read_source(kaggle).notes == [
        "1 rows of training_solutions_rev1.csv have no image and are left out",
        "1 images have no row in training_solutions_rev1.csv and are left out",
    ]


CSV = "training_solutions_rev1.csv"
BROKEN = {
    "no such folder": lambda d: shutil.rmtree(d),
    "holds neither": lambda d: [shutil.rmtree(d), d.mkdir()],
    "the file is empty": lambda d: (d / CSV).write_text(""),
    "has a header but no rows": lambda d: edit(d / CSV, lambda t: t[:0]),
    "column Class7.3 is missing": lambda d: edit(d / CSV, lambda t: t.drop(columns="Class7.3")),
    "a vote fraction is not a number": lambda d: edit(d / CSV, lambda t: t.assign(**{"Class1.1": "many"})),
    r"outside \[0, 1\]": lambda d: edit(d / CSV, lambda t: t.assign(**{"Class1.1": "1.2"})),
    "stands there twice": lambda d: edit(d / CSV, lambda t: pd.concat([t, t[:1]])),
    "cannot be a file name": lambda d: edit(d / CSV, lambda t: t.assign(GalaxyID="../" + t["GalaxyID"])),
    "images_training_rev1: no such folder": lambda d: shutil.rmtree(d / "images_training_rev1"),
    "holds none of the images": lambda d: [f.unlink() for f in (d / "images_training_rev1").iterdir()],
    "not an image": lambda d: (d / "images_training_rev1/g0-0-0.jpg").write_text("<html>404</html>"),
    "no image of class cigar_shaped_smooth": lambda d: edit(d / CSV, lambda t: t.assign(**{"Class7.3": "0.2"})),
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_source_is_refused_in_one_line(kaggle, complaint):
    BROKEN[complaint](kaggle)
    with pytest.raises(UserError, match=complaint) as error:
        read_source(kaggle)
    assert "\n" not in str(error.value)
    assert str(kaggle) in str(error.value)
