"""Each layout that a user may bring, and the error for a broken one."""

import gzip
import shutil
import sys
import types
import zipfile

import datasets
import pandas as pd
import pytest

from gz2_dataset import CLASS_NAMES, VOTE_COLUMNS, UserError
from gz2_dataset.rules import Condition, Rule
from gz2_dataset.sources.hub import Columns
from gz2_dataset.sources.sources import download_from_kaggle, read_source
from gz2_dataset.votes import VOTES
from tests.conftest import ROOT, write_class_list

SHARED = ROOT.parent / "shared/data"
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


def test_a_hub_dataset_with_its_own_names_gives_the_same_classes(class_list, votes, tmp_path):
    named = VOTES[VOTES["hub"] != ""]
    columns = {f"{row.hub}_fraction": votes[row.column].to_numpy() for row in named.itertuples()}
    images = [{"bytes": (class_list / f"images/{i}.jpg").read_bytes(), "path": None} for i in votes.index]
    rows = {"image": images, "id_str": list(votes.index), **columns}
    folder = tmp_path / "hub"
    folder.mkdir()
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    table.select(range(6)).to_parquet(folder / "train-00000-of-00001.parquet")
    table.select(range(6, 11)).to_parquet(folder / "test-00000-of-00001.parquet")
    source = read_source(folder)
    assert source.kind == "hub"
    assert classes(source) == classes(read_source(class_list))
    assert len(source.vote_columns) == 30, "the odd features are not published there"
    assert source.read(source.table["file"][0]) == images[0]["bytes"]


def test_columns_of_a_dataset_may_have_any_name(class_list, votes, tmp_path):
    content = (class_list / "images/g0-0-0.jpg").read_bytes()
    rows = {"cutout": [{"bytes": content, "path": None}] * 2, "name": ["a", "b"], "kind": ["ring", ""]}
    rows |= {name: votes[name].head(2).tolist() for name in VOTE_COLUMNS}
    (tmp_path / "hub").mkdir()
    table = datasets.Dataset.from_dict(rows).cast_column("cutout", datasets.Image())
    table.to_parquet(tmp_path / "hub/x.parquet")
    source = read_source(tmp_path / "hub", columns=Columns("cutout", "kind", "name"))
    assert (source.kind, source.vote_columns) == ("hub", ()), "the classes that are named, not those of the votes"
    assert classes(source) == ["ring", ""]
    assert source.read(source.table["file"][1]) == content
    for columns, complaint in (
        (Columns("cutout", "kind"), r"an id of each galaxy, .* --id_column, one of cutout, name, kind"),
        (Columns("cutout", "sort", "name"), r"no column 'sort'; name it with --label_column, one of cutout"),
        (Columns("picture"), r"no column 'picture'; name it with --image_column"),
    ):
        with pytest.raises(UserError, match=complaint):
            read_source(tmp_path / "hub", "hub", columns=columns)
    with pytest.raises(UserError, match=r"kind class_list; .*--revision are for datasets of the Hub"):
        read_source(class_list, "class_list", columns=Columns(revision="v1"))


def test_a_version_of_a_dataset_is_asked_for_by_its_name(monkeypatch):
    asked = {}

    def load(name: str, **options):
        asked.update(options, name=name)
        raise ValueError("no network")

    monkeypatch.setattr("datasets.load_dataset", load)
    with pytest.raises(UserError, match="no network"):
        read_source("someone/galaxies", "hub", columns=Columns(revision="v2"))
    assert asked == {"name": "someone/galaxies", "revision": "v2"}


def test_counts_become_fractions_of_those_who_were_asked(class_list, tmp_path):
    answers = ("smooth", "featured-or-disk", "artifact")
    rows = {f"smooth-or-featured-gz2_{a}": [n, 0] for a, n in zip(answers, (30, 9, 1), strict=True)}
    rows |= {f"how-rounded-gz2_{a}": [n, 0] for a, n in zip(("round", "in-between", "cigar"), (24, 3, 3), strict=True)}
    image = (class_list / "images/g0-0-0.jpg").read_bytes()
    rows |= {"image": [{"bytes": image, "path": None}] * 2, "id_str": ["a", "b"]}
    (tmp_path / "hub").mkdir()
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    table.to_parquet(tmp_path / "hub/x.parquet")
    source = read_source(tmp_path / "hub", rules=(Rule("round", (Condition("Class7.1", 0.8),)),))
    assert source.table["Class1.1"].tolist() == [0.75, 0]
    assert source.table["Class7.1"].tolist() == [0.8, 0]
    assert classes(source) == ["round", ""]


def test_an_image_folder_has_the_classes_of_its_folders(tmp_path, class_list):
    for name in ("ring", "merger"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        shutil.copy(class_list / "images/g0-0-0.jpg", tmp_path / "mine" / name / "same.jpg")
    source = read_source(tmp_path / "mine")
    assert (source.kind, source.class_names) == ("image_folder", ("merger", "ring"))
    assert source.table["image_id"].tolist() == ["merger-same", "ring-same"]
    zipped = read_source(zip_folder(tmp_path / "mine", tmp_path / "mine.zip"))
    assert zipped.table["image_id"].tolist() == ["merger-same", "ring-same"]


def test_rows_and_images_without_counterpart_are_counted(kaggle):
    (kaggle / "images_training_rev1/g0-5-0.jpg").rename(kaggle / "images_training_rev1/stranger.jpg")
    source = read_source(kaggle)
    assert source.skipped == {"rows without image": 1, "images without row": 1}
    assert source.rows == 11


def edit(path, change):
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(table).to_csv(path, index=False)


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


def test_a_source_may_be_named_and_is_then_not_guessed(kaggle):
    assert read_source(kaggle, "image_folder").class_names == ("images_training_rev1",)
    with pytest.raises(UserError, match="no source 'kagle'; choose from kaggle"):
        read_source(kaggle, "kagle")
    with pytest.raises(UserError, match=r"holds no labels\.csv"):
        read_source(kaggle, "class_list")


def test_rules_that_ask_for_votes_which_are_not_there_are_refused(class_list, tmp_path):
    image = (class_list / "images/g0-0-0.jpg").read_bytes()
    answers = {f"bar-gz2_{a}_fraction": [0.5] for a in ("yes", "no")}
    (tmp_path / "hub").mkdir()
    rows = {"image": [{"bytes": image, "path": None}], "id_str": ["a"], **answers}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "hub/x.parquet")
    with pytest.raises(UserError, match=r"the rules use Class1\.1"):
        read_source(tmp_path / "hub")
    barred = (Rule("barred", (Condition("Class3.1", 0.5),)),)
    assert classes(read_source(tmp_path / "hub", rules=barred)) == ["barred"]


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
