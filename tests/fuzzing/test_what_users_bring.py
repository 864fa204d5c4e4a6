"""Whatever stands in a file that a user brings, it is read, or one line says what is wrong with it.

`make test` tries a few cases of each kind of file, `make fuzz` as many as there is time for. What was found once is an
example.
"""

import contextlib
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from galaxy_diffusion.app.uploads import picture_of
from galaxy_diffusion.prediction.catalogue import FORMATS, read_catalogue
from galaxy_diffusion.prediction.survey import open_survey
from galaxy_diffusion.study import dataset_tables
from gz2_dataset import UserError
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.class_names import check_class_names
from gz2_dataset.image_ids import check_image_ids
from gz2_dataset.images import decode, problem_of
from gz2_dataset.pixel_values import position_of, read_values
from gz2_dataset.rules import read_rules
from gz2_dataset.sources.sources import read_source
from gz2_dataset.splits import read_splits, split_galaxies
from gz2_dataset.stretch import Stretch
from gz2_dataset.votes import VOTE_COLUMNS, VOTES

from ..conftest import ROOT
from .damage import OneLine, damaged, put

CLASSES = ("ring", "spiral")
IDS = [f"g{i}" for i in range(6)]


def picture(kind: str = "JPEG", mode: str = "RGB", **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def csv(columns: tuple[str, ...], *rows: tuple) -> bytes:
    return pd.DataFrame(rows, columns=list(columns)).to_csv(index=False).encode()


def fits_file(shape: tuple[int, ...] = (8, 8), **header) -> bytes:
    file = io.BytesIO()
    fits.PrimaryHDU(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), fits.Header(header)).writeto(file)
    return file.getvalue()


LABELS = csv(("image_id", "galaxy_class", "ra", "split"), *[(n, CLASSES[i % 2], i, "train") for i, n in enumerate(IDS)])
KAGGLE = csv(("GalaxyID", *VOTE_COLUMNS), *[(n, *[0.5] * len(VOTE_COLUMNS)) for n in IDS])
HART = csv(("dr7objid", "asset_id", *VOTES["hart16"]), *[(f"58{n}", n, *[0.5] * 37) for n in IDS])


def source(folder: Path, images: str) -> Path:
    if not (folder / images).exists():
        for name in IDS:
            put(folder / images / f"{name}.jpg", picture())
    return folder


@given(content=damaged(LABELS))
def test_a_list_of_classes(folder, content):
    put(source(folder / "list", "images") / "labels.csv", content)
    with OneLine():
        read_source(str(folder / "list"))


@given(content=damaged(KAGGLE))
def test_the_votes_of_kaggle(folder, content):
    put(source(folder / "kaggle", "images_training_rev1") / "training_solutions_rev1.csv", content)
    with OneLine():
        read_source(str(folder / "kaggle"))


@given(content=st.one_of(damaged(gzip.compress(HART)), damaged(HART).map(gzip.compress)))
def test_the_catalogue_of_hart(folder, content):
    put(source(folder / "hart", "images") / "gz2_hart16.csv.gz", content)
    with OneLine():
        read_source(str(folder / "hart"))


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, zipped("a/g0.jpg", "b/g1.jpg") if name.endswith(".zip") else picture())
    return file.getvalue()


@given(content=damaged(zipped("a/g0.jpg", "a/g1.jpg", "b/g2.jpg"), zipped("in.zip")))
def test_a_zip(folder, content):
    with OneLine():
        found = read_source(str(put(folder / "images.zip", content)))
        for name in found.table["file"]:
            with contextlib.suppress(OSError):
                found.read(name)


PICTURES = (picture(), picture("PNG"), picture("PNG", "P", transparency=0), picture("PNG", "I;16"), picture("TIFF"))
PICTURES += (picture(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),)


@given(content=damaged(*PICTURES))
def test_an_image(content):
    assert isinstance(problem_of(content), str)
    with contextlib.suppress(OSError):
        decode(content)
    with OneLine():
        picture_of(content)


FITS = (fits_file(RA="12:30:00", DEC="-1"), fits_file((3, 8, 8), CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=1.0))
FITS += (gzip.compress(fits_file(SATURATE=5.0)),)


@given(content=damaged(*FITS, picture("TIFF"), picture("PNG", "I;16")))
def test_an_image_of_a_survey(content):
    with contextlib.suppress(OSError):
        values = read_values(content)
        position_of(values)
        stretch = Stretch("asinh", ("0",), values.count, (0.0,), (1.0,))
        if values.count == 1:
            stretch.picture(values)


@given(content=damaged((ROOT / "gz2_dataset/five_class.yaml").read_bytes()))
def test_rules(folder, content):
    with OneLine():
        rules = read_rules(put(folder / "rules.yaml", content))
        record = BuildRecord(source="kaggle", rules=rules, classes=CLASSES, counts={"train": {"ring": 1}})
        BuildRecord.from_json(record.to_json(), "build.json")
        dataset_tables.selection(record)


SPLITS = csv(
    ("image_id", "galaxy_class", "split", "sha256", "fold"), ("a", "x", "test", "00", 0), ("b", "x", "train", "01", "")
)


@given(content=damaged(SPLITS), folds=st.sampled_from([(1, 0), (2, 0), (2, 1)]))
@example(content=SPLITS.replace(b"00,0", b"00,1e999"), folds=(1, 0))
def test_the_splits_of_an_earlier_build(folder, content, folds):
    with OneLine():
        earlier = read_splits(put(folder / "splits.csv", content), *folds)
        split_galaxies(pd.DataFrame({"image_id": ["a", "b", "c"], "galaxy_class": ["x", "x", ""]}), 1, 1, earlier)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=settings().max_examples // 4)
@given(data=st.data())
def test_a_catalogue(folder, kind, data):
    file = folder / f"whole{kind}"
    if not file.exists():
        table = Table({"file_name": ["g0.jpg", "g1.jpg"], "ra": [1.5, 2.5], "n": [1, 2]})
        table.to_pandas().to_parquet(file) if kind == ".parquet" else table.write(file, format=FORMATS[kind])
    with OneLine():
        read_catalogue(put(folder / f"catalogue{kind}", data.draw(damaged(file.read_bytes()))))


def test_a_catalogue_whose_text_is_none_is_one_line(folder):
    """Found by `test_a_catalogue`."""
    Table({"file_name": ["g0.jpg"]}).write(folder / "text.fits")
    put(folder / "text.fits", (folder / "text.fits").read_bytes().replace(b"g0.jpg", b"g\xf8.jpg"))
    with pytest.raises(UserError, match="cannot be read as a catalogue"):
        read_catalogue(folder / "text.fits")


@given(content=damaged(csv(("file_name", "x"), ("g0.jpg", 1), ("g1.jpg", 2))))
def test_the_files_that_a_catalogue_names(folder, content):
    put(folder / "survey/g0.jpg", picture())
    with OneLine():
        survey = open_survey(str(put(folder / "survey/survey.csv", content)), "file_name")
        for name in survey.names:
            with contextlib.suppress(OSError):
                survey.read(name)


@given(names=st.lists(st.one_of(st.text(), st.sampled_from(["a/b", "=1", "null", "\0", "\ud800"]), st.none())))
@example(names=["\ud800"])
def test_names_and_ids(names):
    with OneLine():
        check_class_names(names, "data")
    with OneLine():
        check_image_ids(names, "data")
