"""Prepared arrays: the right pixels, decoded once."""

import os
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gz2_dataset import CLASS_NAMES, GalaxyArrays, UserError, build, load_arrays, writing
from gz2_dataset.arrays import concatenate, encode_jpeg, jpeg_round_trip
from gz2_dataset.loading import build_in_cache

from ..conftest import write_class_list


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_large_images_are_stored_like_the_surveys_and_small_ones_in_full_colour():
    survey, small = (Image.open(io) for io in (as_file(224), as_file(64)))
    assert survey.layer[0][1:3] == (2, 2)  # 4:2:0
    assert small.layer[0][1:3] == (1, 1)  # 4:4:4
    assert survey.quantization[0][0] == 8  # quality 75


def as_file(size: int) -> BytesIO:
    return BytesIO(encode_jpeg(Image.fromarray(noise(size, size))))


def test_arrays_follow_the_dataset(toy_data):
    arrays = load_arrays(str(toy_data), "train", 16)
    assert arrays.images.shape == (66, 16, 16, 3)
    assert arrays.images.dtype == np.uint8
    assert isinstance(arrays.images, np.memmap)
    assert np.bincount(arrays.labels).tolist() == [15, 15, 6, 15, 15]
    assert len(set(arrays.image_ids)) == len(set(arrays.digests)) == 66
    # The toy edge-ons are bluer than the toy round ones, so images and labels belong together.
    blueness = arrays.images[..., 2].mean((1, 2)) / arrays.images[..., 0].mean((1, 2))
    assert blueness[arrays.labels == 3].min() > blueness[arrays.labels == 0].max()


def test_a_split_that_is_not_there_is_empty(tmp_path):
    raw = write_class_list(tmp_path / "raw", dict.fromkeys(CLASS_NAMES, 10))
    assert len(load_arrays(str(raw), "unlabelled", 16)) == 0


def test_unlabelled_galaxies_have_label_minus_one(toy_data):
    assert set(load_arrays(str(toy_data), "unlabelled", 16).labels) == {-1}


def test_the_jpeg_path_is_that_of_generated_images(toy_data):
    plain, jpeg = (load_arrays(str(toy_data), "test", 32, jpeg=flag).images for flag in (False, True))
    np.testing.assert_array_equal(jpeg[0], jpeg_round_trip(plain[0]))
    assert (jpeg != plain).any()


def test_faint_noise_survives_the_file_of_a_small_image():
    """As faint as the sky of a galaxy; quality 95 would move the pixels by 1.3 grey levels."""
    sky = np.random.default_rng(0).normal(20, [[1.0] * 3, [2.3] * 3], (64, 32, 2, 3)).reshape(64, 64, 3)
    sky = sky.round().clip(0, 255).astype(np.uint8)
    error = jpeg_round_trip(sky).astype(float) - sky
    assert error.std() < 0.8
    assert np.abs(error).max() <= 4
    assert (jpeg_round_trip(sky, quality=95).astype(float) - sky).std() > 1.0


def test_images_are_decoded_once(toy_data, monkeypatch):
    first = load_arrays(str(toy_data), "validation", 16)
    monkeypatch.setattr("gz2_dataset.arrays.prepare_image", None)
    np.testing.assert_array_equal(load_arrays(str(toy_data), "validation", 16).images, first.images)


def test_an_image_that_cannot_be_decoded_is_named_and_leaves_nothing(tmp_path):
    """Sound at both ends and spoiled between: a build that decodes finds it; else preparing arrays reports it."""
    raw = write_class_list(tmp_path / "raw", dict.fromkeys(CLASS_NAMES, 10))
    victim = raw / "images/g0-1-0.jpg"
    victim.unlink()
    Image.fromarray(noise(64, 64)).save(png := victim.with_suffix(".png"))
    content = bytearray(png.read_bytes())
    content[3000:3100] = bytes(100)
    png.write_bytes(content)
    folder = Path(os.environ["HF_HOME"]) / "datasets/galaxy_arrays"
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    build(raw, tmp_path / "data", near_duplicates=False)
    split = pd.read_csv(tmp_path / "data/splits.csv").set_index("image_id")["split"]["g0-1-0"]
    with pytest.raises(UserError, match="image g0-1-0: cannot be decoded"):
        load_arrays(str(tmp_path / "data"), split, 20)
    assert not [f for f in set(folder.iterdir()) - before if f.name.startswith(".")]
    assert build(raw, tmp_path / "decoded").skipped == {"images that cannot be decoded": 1}


def galaxies(labels: list[int], votes: bool = False, **changes) -> GalaxyArrays:
    """Noise as galaxies of two classes."""
    rng, ids = np.random.default_rng(len(labels)), [f"g{i}" for i in range(len(labels))]
    images = rng.integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    fractions = rng.random((len(labels), 37), np.float32) if votes else None
    return GalaxyArrays(images, np.array(labels, np.int64), ids, ids, ("ring", "bar"), votes=fractions, **changes)


def test_some_galaxies_are_taken_with_all_that_belongs_to_them():
    every = galaxies([0, 1, -1, 1], votes=True, center_crop=40)
    some = every.take(np.array([3, 2]))
    assert (some.image_ids, some.digests, some.labels.tolist()) == (["g3", "g2"], ["g3", "g2"], [1, -1])
    np.testing.assert_array_equal(some.images, every.images[[3, 2]])
    np.testing.assert_array_equal(some.votes, every.votes[[3, 2]])
    assert (some.class_names, some.center_crop) == (every.class_names, 40)
    assert every.take(every.labels == 1).image_ids == ["g1", "g3"]
    assert len(every.take(np.zeros(0, int))) == 0


def test_galaxies_without_a_class_are_of_none():
    every = galaxies([0, 1, -1, 1])
    assert every.counts.tolist() == [1, 2]
    assert every.of_class("bar").tolist() == [1, 3]
    assert galaxies([]).counts.tolist() == [0, 0]


def test_parts_put_together_again_are_the_whole():
    every = galaxies([0, 1, -1, 1], votes=True)
    whole = concatenate([every.take(np.arange(3)), every.take(np.arange(3, 4))])
    np.testing.assert_array_equal(whole.images, every.images)
    np.testing.assert_array_equal(whole.votes, every.votes)
    assert whole.fingerprint == every.fingerprint
    assert concatenate([every, galaxies([0])]).votes is None


@pytest.mark.parametrize("other", [galaxies([0], center_crop=40), []])
def test_parts_that_do_not_go_together_are_refused(other):
    with pytest.raises(ValueError, match="the same classes, crop and size"):
        concatenate([galaxies([1]), other] if other else [])


def test_the_fingerprint_follows_from_what_is_held_and_from_nothing_else():
    every = galaxies([0, 1, 1])
    assert every.fingerprint == galaxies([0, 1, 1], votes=True).fingerprint
    others = [galaxies([1, 1, 1]), every.take(np.array([1, 0, 2])), every.take(np.array([0, 1]))]
    assert len({every.fingerprint, *(other.fingerprint for other in others)}) == 4


@pytest.mark.parametrize("damage", [lambda content: content[:2000], lambda content: b"", lambda content: bytes(4000)])
def test_a_prepared_array_that_is_cut_is_made_again(toy_data, tmp_path, monkeypatch, damage):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    expected = load_arrays(str(toy_data), "train", 8).images.copy()
    (array,) = (tmp_path / "galaxy_arrays").glob("*.npy")
    array.write_bytes(damage(array.read_bytes()))
    half_written = array.with_name(f".0-{array.name}")  # by a command that was killed
    half_written.touch()
    np.testing.assert_array_equal(load_arrays(str(toy_data), "train", 8).images, expected)
    assert not half_written.exists()


def test_two_commands_prepare_the_same_data_once(toy_source, tmp_path, monkeypatch):
    """They start at once, on a folder of raw images."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    built, write = [], writing.write
    monkeypatch.setattr(writing, "write", lambda *arguments: built.append(1) or write(*arguments))
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: build_in_cache(toy_source), range(2))
    assert one == other
    assert built == [1]
