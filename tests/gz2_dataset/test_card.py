"""The dataset card: what it says about each source, and that a colleague can read and load it."""

import re
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard
from PIL import Image

from gz2_dataset import CLASS_NAMES, RULES, VOTE_COLUMNS
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.card import dataset_card
from gz2_dataset.crop import WHOLE
from gz2_dataset.markdown import code_block
from gz2_dataset.pictures import TILE, TILES, picture_of, save_pictures
from gz2_dataset.rules import Condition, Rule
from tests.cards import HOSTILE, as_shown, check_safe, tables

COUNTS = dict(zip(CLASS_NAMES, (8286, 7919, 429, 3753, 7656), strict=True))


USUAL = BuildRecord(
    source="kaggle",
    config_name="five_class",
    rules=RULES,
    classes=CLASS_NAMES,
    rows=61578,
    counts={"train": COUNTS, "test": dict.fromkeys(CLASS_NAMES, 100), "unlabelled": {"": 32785}},
    moved={"exact": 0, "near": 3},
    notes=("3 galaxies left out of train",),
    test_per_class=100,
    validation_per_class=50,
)


def record(**changes) -> BuildRecord:
    return replace(USUAL, **changes)


def own(kind: str) -> BuildRecord:
    return record(source=kind, rules=None, classes=("ring", "a|b"), counts={"train": {"ring": 7, "a|b": 5}}, notes=())


def info(content: BuildRecord) -> datasets.DatasetInfo:
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(content.classes))}
    votes = dict.fromkeys(VOTE_COLUMNS if content.rules else (), datasets.Value("float32"))
    return datasets.DatasetInfo(features=datasets.Features({**features, "image_id": datasets.Value("string"), **votes}))


def card(content: BuildRecord) -> DatasetCard:
    return DatasetCard(dataset_card(content, info(content)))


def test_the_metadata_is_what_the_hub_reads():
    data = card(record()).data.to_dict()
    assert data["size_categories"] == ["10K<n<100K"]
    assert data["license"] == "other"
    assert data["license_link"].startswith("https://www.sdss.org/")
    assert [part["split"] for part in data["configs"][0]["data_files"]] == ["train", "test", "unlabelled"]
    features = datasets.Features._from_yaml_list(data["dataset_info"]["features"])
    assert features == info(record()).features
    assert card(own("image_folder")).data.to_dict()["size_categories"] == ["n<1K"]


def test_folders_of_the_same_name_are_not_mixed_up(tmp_path):
    """`datasets` caches a local folder by its last name and its card."""
    content = own("image_folder")
    for where, n in (("mine", 3), ("yours", 4)):
        folder = tmp_path / where / "data"
        (folder / "data").mkdir(parents=True)
        described = info(content)
        described.description = f"galaxies of {where}"
        rows = {"image": [None] * n, "label": [0] * n, "image_id": [str(i) for i in range(n)]}
        datasets.Dataset.from_dict(rows, features=described.features).to_parquet(folder / "data/train-0.parquet")
        (folder / "README.md").write_text(dataset_card(content, described))
        assert len(datasets.load_dataset(str(folder))["train"]) == n


def test_the_tables_hold_the_counts_and_the_rules():
    text = card(record()).text
    assert "| cigar_shaped_smooth | 429 | 100 | 0 |" in text
    assert "| (no class) | 0 | 0 | 32,785 |" in text
    assert (
        "| cigar_shaped_smooth | f_smooth (Class1.1) ≥ 0.469 and f_cigar_shaped (Class7.3) ≥ 0.500 | 578 | 579 |"
        in text
    )
    assert "- 3 galaxies left out of train" in text
    assert "| Class1.1 … Class11.6 | 37 fractions" in text
    for label in range(5):
        assert picture_of(label) in text


@pytest.mark.parametrize(
    ("content", "galaxy_zoo"),
    [
        (record(), True),
        (record(source="gz2_archive"), True),
        (record(source="hub"), True),
        (own("hub"), False),
        (own("class_list"), False),
        (own("image_folder"), False),
        (record(source="mock"), False),
    ],
    ids=["kaggle", "gz2_archive", "hub with votes", "hub", "class_list", "image_folder", "mock"],
)
def test_only_galaxy_zoo_is_called_so(content, galaxy_zoo):
    found = card(content)
    for claim in ("Willett", "Hart", "Kaggle 2013", "SDSS", "Galaxy Zoo 2"):
        assert (claim in found.text) is galaxy_zoo, claim
    assert ("license" in found.data.to_dict()) is galaxy_zoo
    assert ("Add the licence" in found.text) is not galaxy_zoo
    assert ("drawn" in found.text) is (content.source == "mock")


def test_folds_are_told_from_a_single_split():
    plain, fold = card(record()).text, card(record(num_folds=5, fold=2)).text
    assert "Of each class, the 100 galaxies with the smallest SHA-256" in plain
    assert "fold" not in plain
    assert "This is fold 2 of 5, counted from 0" in fold
    assert "--validation_per_class 50 --center_crop 224 --num_folds 5 --fold 2\n" in fold


def test_users_rules_and_class_names_are_shown_as_they_are():
    rule = Rule("merger", (Condition("Class8.6", 0.4),))
    counts = {"train": {"merger": 4}}
    text = card(record(config_name="mergers", rules=(rule,), classes=("merger",), counts=counts)).text
    assert "| merger | fraction (Class8.6) ≥ 0.400 |" in text
    assert "paper" not in text.split("## Classes")[1].split("## Columns")[0]
    assert "--rules mergers.yaml" in text
    assert "| a\\|b | 5 |" in card(own("image_folder")).text


def test_hostile_names_stay_in_their_places():
    rules = tuple(Rule(name, (Condition(name, 0.4, quantity=name),)) for name in HOSTILE)
    counts = {"train": {name: i + 1 for i, name in enumerate(HOSTILE)}}
    every = "\n".join(HOSTILE)
    content = record(config_name=every, rules=rules, classes=HOSTILE, counts=counts, notes=HOSTILE)
    text = dataset_card(content, info(content))
    check_safe(text, headings=7)
    data = DatasetCard(text).data.to_dict()
    assert data["pretty_name"] == f"Galaxy Zoo 2, {every}"
    assert data["license"] == "other"
    assert datasets.Features._from_yaml_list(data["dataset_info"]["features"]) == info(content).features
    names = [as_shown(name) for name in HOSTILE]
    of_counts, of_rules, of_pictures, _ = tables(text)
    assert of_counts[2:] == [[name, str(i + 1)] for i, name in enumerate(names)]
    assert of_rules[2:] == [[name, f"{name} ({name}) ≥ 0.400"] for name in names]
    assert [row[0] for row in of_pictures[2:]] == names


def test_no_line_of_code_ends_its_block():
    for code in ("a = 1", "```", "`````\n```", "x\n```\n# heading"):
        first, *inside, last = code_block(code, "python").split("\n")
        assert (first, "\n".join(inside)) == (f"{last}python", code)
        assert set(last) == {"`"}
        assert last not in code


def test_the_snippet_reads_the_dataset(toy_data):
    code = re.search(r"```python\n(.*?)```", (toy_data / "README.md").read_text(), re.DOTALL)[1]
    exec(code.replace("USER/NAME", str(toy_data)), shown := {})
    assert set(shown["galaxies"]["label"]) <= set(range(5))
    assert len(shown["galaxies"])


def test_every_line_is_free_of_this_machine(toy_data):
    text = (toy_data / "README.md").read_text()
    assert not re.search(r"/(tmp|home|work|Users)/", text)
    assert "--data_dir DATA_DIR" in text


def test_pictures_show_training_galaxies_of_their_class(toy_data, tmp_path):
    """A toy galaxy's colour is its class: the strips are the classes' own, and the same each time."""
    data = tmp_path / "data"
    (tmp_path / "data").mkdir()
    for path in toy_data.glob("data/train*.parquet"):
        (data / path.name).write_bytes(path.read_bytes())
    seen = []
    for _ in range(2):
        save_pictures(tmp_path, WHOLE)
        seen.append([(tmp_path / picture_of(label)).read_bytes() for label in range(5)])
    assert seen[0] == seen[1]
    train = datasets.load_dataset("parquet", data_files=str(data / "train*.parquet"))["train"]
    for label in range(5):
        strip = np.asarray(Image.open(tmp_path / picture_of(label)), float)
        assert strip.shape == (TILE, TILE * TILES, 3)
        tiles = strip.reshape(TILE, TILES, TILE, 3).mean(axis=(0, 2))
        galaxies = [np.asarray(row["image"], float).mean(axis=(0, 1)) for row in train if row["label"] == label]
        shown = tiles[tiles.sum(axis=1) > 3]
        assert len(shown) == min(TILES, len(galaxies))
        for tile in shown:
            assert np.abs(np.array(galaxies) - tile).sum(axis=1).min() < 3


def test_the_card_of_a_build_links_pictures_that_are_there(toy_data):
    text = (toy_data / "README.md").read_text()
    linked = re.findall(r"\]\((pictures/[^)]*)\)", text)
    assert linked == [picture_of(label) for label in range(5)]
    assert all((toy_data / name).stat().st_size < 20_000 for name in linked)
    assert Path(toy_data / "pictures").is_dir()
    assert yaml.safe_load(text.split("---")[1])["configs"][0]["config_name"] == "default"
