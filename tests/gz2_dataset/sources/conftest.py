"""The same galaxies in each layout: a class list, Kaggle's, and the archive's."""

import gzip
import shutil
import zipfile

import pandas as pd
import pytest

from gz2_dataset import CLASS_NAMES, VOTE_COLUMNS
from gz2_dataset.votes import VOTES
from tests.conftest import write_class_list

COUNTS = dict.fromkeys(CLASS_NAMES, 2) | {"": 1}
PASSING = {
    CLASS_NAMES[0]: {"Class1.1": 0.9, "Class7.1": 0.8},
    CLASS_NAMES[1]: {"Class1.1": 0.9, "Class7.2": 0.8},
    CLASS_NAMES[2]: {"Class1.1": 0.9, "Class7.3": 0.8},
    CLASS_NAMES[3]: {"Class1.2": 0.9, "Class2.1": 0.8},
    CLASS_NAMES[4]: {"Class1.2": 0.9, "Class2.2": 0.8, "Class4.1": 0.7},
}
CSV = "training_solutions_rev1.csv"


@pytest.fixture
def class_list(tmp_path):
    return write_class_list(tmp_path / "list", COUNTS)


@pytest.fixture
def votes(class_list):
    """One row per galaxy of the class list, with votes that meet the rule of its class."""
    labels = pd.read_csv(class_list / "labels.csv", keep_default_na=False)
    rows = [dict.fromkeys(VOTE_COLUMNS, 0.1) | PASSING.get(name, {}) for name in labels["galaxy_class"]]
    return pd.DataFrame(rows, index=labels["image_id"])


@pytest.fixture
def kaggle(class_list, votes, tmp_path):
    """The same galaxies in the Kaggle layout."""
    folder = tmp_path / "kaggle"
    shutil.copytree(class_list / "images", folder / "images_training_rev1")
    votes.to_csv(folder / CSV, index_label="GalaxyID")
    return folder


@pytest.fixture
def archive(class_list, votes, tmp_path):
    """The same galaxies as the GZ2 archive: asset ids name the images, the catalogue is keyed by dr7objid."""
    folder = tmp_path / "archive"
    (folder / "images").mkdir(parents=True)
    assets = {image_id: str(1000 + i) for i, image_id in enumerate(votes.index)}
    for image_id, asset in assets.items():
        shutil.copy(class_list / f"images/{image_id}.jpg", folder / f"images/{asset}.jpg")
    objid = {image_id: str(587722981736120347 + i) for i, image_id in enumerate(votes.index)}
    catalogue = votes.rename(columns=dict(zip(VOTE_COLUMNS, VOTES["hart16"], strict=True)))
    catalogue.insert(0, "dr7objid", list(objid.values()))
    with gzip.open(folder / "gz2_hart16.csv.gz", "wt") as file:
        catalogue.assign(gz2class="Er").to_csv(file, index=False)
    mapping = pd.DataFrame({"objid": objid.values(), "sample": "original", "asset_id": assets.values()})
    mapping.to_csv(folder / "gz2_filename_mapping.csv", index=False)
    return folder


def classes(source) -> list[str]:
    return source.table["galaxy_class"].tolist()


def zip_folder(folder, path, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


def edit(path, change):
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(table).to_csv(path, index=False)
