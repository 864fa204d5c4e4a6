"""A survey's own files, FITS and deep pictures, from the build to the predictions of a classifier."""

import gzip
import json
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import yaml
from astropy.table import Table
from PIL import Image

import predict
import train_classifier
from gz2_dataset import UserError, build
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.images import decode
from gz2_dataset.stretch import pixels_of

from .conftest import ROOT
from .gz2_dataset.fits_files import DEC, RA, fits_bytes, galaxy

CLASSES = {"bright": 3000.0, "faint": 60.0}


def write_survey(folder: Path, count: int = 14, suffix: str = ".fits") -> Path:
    """Class folders of FITS cubes of g, r and i."""
    for label, (name, flux) in enumerate(CLASSES.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            content = fits_bytes(galaxy(flux, seed=100 * label + i), packed=suffix.endswith("fz"))
            (folder / name / f"{name}{i}{suffix}").write_bytes(
                gzip.compress(content) if suffix.endswith("gz") else content
            )
    return folder


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> Path:
    return write_survey(tmp_path_factory.mktemp("survey") / "fits")


@pytest.fixture(scope="module")
def data(survey, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("built") / "data"
    build(survey, output, stretch="lupton")
    return output


@pytest.fixture(scope="module")
def classifier(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("classifier") / "run"
    preset = yaml.safe_load((ROOT / "configs/classifier_tiny.yaml").read_text()) | {"total_images": 160}
    train_classifier.main(train_classifier.Config(data=str(data), output_dir=folder, **preset))
    return folder


def rows(data: Path) -> pd.DataFrame:
    """All galaxies with their pixels."""
    opened = datasets.load_dataset("parquet", data_files=[str(path) for path in data.glob("data/*.parquet")])["train"]
    images = opened.cast_column("image", datasets.Image(decode=False))["image"]
    return opened.remove_columns("image").to_pandas().assign(content=[image["bytes"] for image in images])


def test_a_dataset_holds_the_pictures_of_the_numbers_their_position_and_how_they_were_made(survey, data):
    record, found = BuildRecord.read(data), rows(data)
    assert (record.stretch.name, record.stretch.bands) == ("lupton", ("0", "1", "2"))
    assert len(found) == 28
    for row in found[::9].itertuples():
        raw = (survey / row.image_id.rstrip("0123456789") / f"{row.image_id}.fits").read_bytes()
        np.testing.assert_array_equal(decode(row.content), pixels_of(raw, record.stretch))
    np.testing.assert_allclose(found[["ra", "dec"]], [[RA, DEC]] * 28)
    card = (data / "README.md").read_text()
    assert "lupton of planes 0, 1, 2 (black " in card
    assert "--bands 0,1,2 --stretch lupton" in card
    assert "declination in degrees" in card


@pytest.mark.parametrize("suffix", [".fits.gz", ".fits.fz", ".fit"])
def test_packed_files_are_read_alike(data, tmp_path, suffix):
    build(write_survey(tmp_path / "packed", 3, suffix), tmp_path / "data", stretch="lupton")
    found = rows(tmp_path / "data").set_index("image_id")["content"]
    expected = BuildRecord.read(tmp_path / "data").stretch
    assert sorted(found.index) == [f"{name}{i}" for name in CLASSES for i in range(3)]
    assert np.allclose(expected.low, BuildRecord.read(data).stretch.low, atol=1)


def test_a_rebuild_with_more_images_keeps_the_stretch(tmp_path):
    survey = write_survey(tmp_path / "survey", 4)
    build(survey, tmp_path / "data")
    before, pictures = BuildRecord.read(tmp_path / "data").stretch, rows(tmp_path / "data")
    (survey / "bright/new.fits").write_bytes(fits_bytes(galaxy(1e5)))
    build(survey, tmp_path / "data")
    assert BuildRecord.read(tmp_path / "data").stretch == before
    after = rows(tmp_path / "data")
    assert set(after["content"]) > set(pictures["content"])
    build(survey, tmp_path / "data", stretch="zscale")
    assert BuildRecord.read(tmp_path / "data").stretch.name == "zscale"


def test_files_side_by_side_are_the_same_galaxies_as_cubes(data, survey, tmp_path):
    for path in survey.rglob("*.fits"):
        for band, plane in zip("gri", galaxy_of(path), strict=True):
            single = tmp_path / "bands" / path.parent.name / f"{path.stem}-{band}.fits"
            single.parent.mkdir(parents=True, exist_ok=True)
            single.write_bytes(fits_bytes(plane))
    (tmp_path / "bands/faint/alone-r.fits").write_bytes(fits_bytes(galaxy(60, (1,))[0]))
    record = build(tmp_path / "bands", tmp_path / "data", bands="g,r,i", stretch="lupton")
    assert record.skipped == {"images without all bands": 1}
    assert (record.stretch.bands, record.stretch.low) == (("g", "r", "i"), BuildRecord.read(data).stretch.low)
    same = rows(tmp_path / "data").merge(rows(data), on="image_id")
    assert (same["content_x"] == same["content_y"]).all()
    assert len(same) == 28


def galaxy_of(path: Path) -> np.ndarray:
    name = path.stem.rstrip("0123456789")
    return galaxy(CLASSES[name], seed=100 * [*CLASSES].index(name) + int(path.stem.removeprefix(name)))


def test_empty_and_saturated_pixels_are_counted_and_what_cannot_be_used_is_listed(tmp_path):
    survey = write_survey(tmp_path / "survey", 5)
    holes = galaxy(60)
    holes[:, :2] = np.nan
    holes[0, 5, 5] = np.inf
    (survey / "faint/holes.fits").write_bytes(fits_bytes(holes))
    (survey / "faint/nothing.fits").write_bytes(fits_bytes(np.full((3, 64, 64), np.nan, np.float32)))
    (survey / "faint/wide.fits").write_bytes(fits_bytes(np.zeros((7, 64, 64), np.float32)))
    (survey / "faint/torn.fits").write_bytes(b"SIMPLE  = ")
    (survey / "faint/notes.txt").write_text("seeing 0.8")
    (survey / "preview.jpg").write_bytes(b"")
    record = build(survey, tmp_path / "data")
    assert "images with pixels that are empty (NaN), shown as black: 1 (128 pixels)" in record.notes
    assert "images with pixels that are saturated, shown as white: 1 (1 pixels)" in record.notes
    left_out = pd.read_csv(tmp_path / "data/left_out.csv").set_index("file")["reason"]
    assert left_out.to_dict() == {
        "faint/nothing.fits": "images without a number (NaN)",
        "faint/wide.fits": "images of 7 planes, where most have 3",
        "faint/torn.fits": "FITS files that are damaged",
        "faint/notes.txt": "files with the ending .txt, which are no images",
        "preview.jpg": "images outside the folders of the classes",
    }
    assert sum(record.skipped.values()) == 5


def test_a_survey_of_cubes_is_refused_with_what_it_holds_and_read_with_bands(tmp_path):
    for name in CLASSES:
        (tmp_path / "cubes" / name).mkdir(parents=True)
        for i in range(3):
            cube = galaxy(CLASSES[name], (1, 2, 3, 4, 5), seed=i)
            (tmp_path / "cubes" / name / f"{name}{i}.fits").write_bytes(fits_bytes(cube))
    with pytest.raises(UserError, match=r"cubes: .* 5 planes of 64 x 64, where 1 or 3 .* \(--bands chooses some\)"):
        build(tmp_path / "cubes", tmp_path / "data")
    assert build(tmp_path / "cubes", tmp_path / "data", bands="0,2,4").stretch.bands == ("0", "2", "4")


KINDS = [("L", "png"), ("RGBA", "png"), ("L", "tif"), ("RGB", "tiff"), ("RGB", "jfif")]


def test_deep_and_plain_pictures_of_all_kinds(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("ring", "bar"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i, (mode, suffix) in enumerate(KINDS):
            image = Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).convert(mode)
            image.save(tmp_path / "pictures" / name / f"{name}{i}.{suffix}")
        deep = Image.fromarray(rng.integers(0, 4095, (64, 64)).astype(np.uint16))
        deep.save(tmp_path / "pictures" / name / f"{name}9.png")
    record = build(tmp_path / "pictures", tmp_path / "data")
    assert record.skipped == {}
    assert (record.stretch.name, record.stretch.high) == ("linear", (4095.0,))
    assert any(
        note.startswith("images that came as pictures of 8 bits, and were not stretched: 10 of 12")
        for note in record.notes
    )
    found = rows(tmp_path / "data")
    assert len(found) == 12
    assert "ra" not in found
    assert all(decode(content).max() > 200 for content in found["content"])
    for path in (tmp_path / "pictures").rglob("*9.png"):
        path.unlink()
    with pytest.raises(UserError, match="all images are finished pictures of 8 bits"):
        build(tmp_path / "pictures", tmp_path / "none", stretch="asinh")


def test_predict_sees_a_fits_file_as_the_training_did_and_keeps_its_catalogue(classifier, survey, tmp_path):
    expected = pd.read_csv(classifier / "predictions.csv", index_col="image_id")
    names = sorted(path.relative_to(survey).as_posix() for path in survey.rglob("*.fits"))
    ra, dec = np.linspace(10, 20, len(names)), np.linspace(-5, 5, len(names))
    catalogue = Table({"file_name": names, "ra": ra, "dec": dec})
    catalogue.write(survey / "catalogue.vot", format="votable", overwrite=True)
    config = predict.Config([str(classifier)], str(survey / "catalogue.vot"), tmp_path / "found.vot", page_images=1)
    predict.main(config)
    found = Table.read(tmp_path / "found.vot")
    np.testing.assert_allclose(found["ra"], catalogue["ra"])
    np.testing.assert_allclose(found["dec"], catalogue["dec"])
    table = found.to_pandas().set_index(pd.Series(names).map(lambda name: Path(name).stem))
    for name in CLASSES:
        np.testing.assert_allclose(table.loc[expected.index, f"probability_{name}"], expected[f"p_{name}"], atol=1e-4)
    assert (tmp_path / "found.html").read_text().count("<img ") == 2
    assert json.loads((classifier / "preprocessor_config.json").read_text())["stretch"]["name"] == "lupton"
