"""The crop: the right pixels, the right default, and the crop that was chosen at build wherever a dataset is opened."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest

from gz2_dataset import UserError, build, load_arrays, loading
from gz2_dataset.__main__ import build as build_command
from gz2_dataset.crop import WHOLE, prepare_image
from gz2_dataset.images import decode
from gz2_dataset.loading import crop_of

from ..conftest import draw_toy_galaxy, write_class_list


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(424, 424), (300, 424), (224, 260)])
def test_the_centre_is_cut_out_without_resampling(height, width):
    pixels = noise(height, width)
    top, left = (height - 224) // 2, (width - 224) // 2
    prepared = prepare_image(pixels, 224, 224)
    np.testing.assert_array_equal(prepared, pixels[top : top + 224, left : left + 224])


def test_a_smaller_image_is_kept_whole():
    assert prepare_image(noise(64, 64), 32, 224).shape == (32, 32, 3)
    np.testing.assert_array_equal(prepare_image(noise(32, 32), 32, 224), noise(32, 32))


def test_the_whole_of_an_image_that_is_not_square_is_its_central_square():
    pixels = noise(40, 64)
    np.testing.assert_array_equal(prepare_image(pixels, 40, WHOLE), pixels[:, 12:52])


def test_resizing_keeps_the_flux_and_the_centre():
    y, x = np.mgrid[:424, :424] - 211.5
    star = (250 * np.exp(-(x**2 + y**2) / 800)).astype(np.uint8)
    small = prepare_image(np.stack([star] * 3, -1), 32, 224).astype(float)[..., 0]
    assert small.mean() == pytest.approx(star[100:324, 100:324].mean(), rel=0.02)
    assert (small * np.arange(32)).sum() / small.sum() == pytest.approx(15.5, abs=0.05)


def record_of(folder: Path) -> dict:
    return json.loads((folder / "build.json").read_text())


@pytest.fixture
def source(tmp_path) -> Path:
    """20 galaxies of 64 px in two classes."""
    return write_class_list(tmp_path / "source", {"ring": 10, "spiral": 10})


def test_whole_images_are_the_default_and_galaxy_zoos_are_known_by_their_size(source, tmp_path):
    assert build(source, tmp_path / "small").center_crop == WHOLE
    rng = np.random.default_rng(0)
    for path in (source / "images").iterdir():
        if not path.stem.endswith("-9"):  # most of them
            draw_toy_galaxy("spiral", rng, 424).save(path)
    assert build(source, tmp_path / "gz2", near_duplicates=False).center_crop == 224
    assert record_of(tmp_path / "gz2")["center_crop"] == 224


def test_the_arrays_hold_the_centre_of_the_files_that_was_chosen_at_build(source, tmp_path):
    build(source, tmp_path / "data", center_crop=32)
    arrays = load_arrays(str(tmp_path / "data"), "train", 32)
    assert arrays.center_crop == 32
    for image_id, image in zip(arrays.image_ids, arrays.images, strict=True):
        np.testing.assert_array_equal(image, decode((source / f"images/{image_id}.jpg").read_bytes())[16:48, 16:48])


def test_datasets_from_before_are_read_as_they_were_then(source, tmp_path):
    build(source, tmp_path / "data")
    record = record_of(tmp_path / "data")
    del record["center_crop"]
    (tmp_path / "data/build.json").write_text(json.dumps(record))
    assert crop_of(str(tmp_path / "data")) == 224


def test_raw_folders_follow_the_rule_of_the_build(source):
    assert load_arrays(str(source), "test", 16).center_crop == WHOLE


def test_what_the_hub_has_says_the_crop_else_the_images_do(source, tmp_path, monkeypatch, capsys):
    build(source, tmp_path / "pushed", center_crop=48)
    files = {name: str(tmp_path / f"pushed/data/{name}-*.parquet") for name in ("train", "test")}
    opened = datasets.load_dataset("parquet", data_files=files)
    monkeypatch.setattr(datasets, "load_dataset", lambda _: opened)
    assert crop_of("somebody/unknown") == WHOLE
    assert "somebody/unknown: the whole of each image is taken" in capsys.readouterr().err
    monkeypatch.setattr(loading, "hf_hub_download", lambda _, name, repo_type: tmp_path / "pushed" / name)
    assert crop_of("somebody/pushed") == 48
    assert capsys.readouterr().err == ""


def test_a_rebuild_with_another_crop_changes_pixels_pictures_and_card_alone(source, tmp_path):
    build(source, tmp_path / "data", center_crop=64)
    before = shutil.copytree(tmp_path / "data", tmp_path / "before")
    build(source, tmp_path / "data", center_crop=32)
    changed = {
        str(path.relative_to(before))
        for path in before.rglob("*")
        if path.is_file() and path.read_bytes() != (tmp_path / "data" / path.relative_to(before)).read_bytes()
    }
    assert changed == {"README.md", "build.json", "pictures/class_0.jpg", "pictures/class_1.jpg"}
    assert "read the central 32 px of each" in (tmp_path / "data/README.md").read_text()
    assert "--center_crop 32" in (tmp_path / "data/README.md").read_text()


def test_a_crop_below_nothing_is_refused(source, tmp_path):
    with pytest.raises(UserError, match="center_crop -1: must be at least 0"):
        build(source, tmp_path / "data", center_crop=-1)


def test_the_arrays_that_a_build_prepares_are_those_that_are_read(source, tmp_path, monkeypatch, capsys):
    build_command(output=tmp_path / "data", data_dir=str(source), center_crop=48, resolution=24)
    assert "crop: the central 48 px of each image" in capsys.readouterr().out
    monkeypatch.setattr("gz2_dataset.arrays.prepare", lambda *_: pytest.fail("was not prepared"))
    for split in ("train", "validation", "test"):
        for jpeg in (False, True):
            assert len(load_arrays(str(tmp_path / "data"), split, 24, jpeg)) > 0
