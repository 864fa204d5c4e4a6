"""What a generator has seen is written, read, and refused where something is to be judged by it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from galaxy_diffusion.shared.seen_images import (
    FILE,
    SeenImages,
    copy_seen_images,
    digest_of_list,
    read_seen_images,
    refuse_if_seen,
    write_seen_images,
)
from gz2_dataset import GalaxyArrays, UserError


def galaxies(*image_ids: str, digests: str | None = None) -> GalaxyArrays:
    labels = np.zeros(len(image_ids), np.int64)
    hashes = [f"sha-{i}" for i in digests or image_ids]
    return GalaxyArrays(np.zeros((len(image_ids), 8, 8, 3), np.uint8), labels, list(image_ids), hashes, ("a", "b"))


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    write_seen_images(folder, galaxies("1", "2"))
    return folder


def test_what_a_model_has_seen_is_read_as_it_was_written_and_once(model, tmp_path):
    (tmp_path / "child").mkdir()
    write_seen_images(tmp_path / "child", galaxies("2", "3"), galaxies("4"), parent=model / FILE)
    assert len((tmp_path / "child" / FILE).read_text().splitlines()) == 5
    seen = read_seen_images(tmp_path / "child")
    assert seen == SeenImages(frozenset("1234"), frozenset(f"sha-{i}" for i in "1234"))


def test_a_galaxy_is_seen_by_its_id_or_by_its_bytes(model):
    seen = read_seen_images(model)
    assert seen.rows(galaxies("0", "2", "9", digests="058")).tolist() == [1]
    assert seen.rows(galaxies("7", "8", digests="72")).tolist() == [1]
    assert seen.rows(galaxies()).tolist() == []


@pytest.mark.parametrize("held_out", [galaxies("0", "2", digests="05"), galaxies("0", "5", digests="02")])
def test_a_held_out_galaxy_that_was_seen_is_named(model, held_out):
    with pytest.raises(UserError, match=f"the generator saw {held_out.image_ids[1]} of the test split"):
        refuse_if_seen(model, {"validation": galaxies("8", "9"), "test": held_out})
    assert refuse_if_seen(model, {"test": galaxies("8", "9")}) == read_seen_images(model)


@pytest.mark.parametrize("text", [None, "", "image_id,sha256\n", "image_id\n1\n", "image_id,sha256\n1\n"])
def test_a_list_that_is_not_whole_is_never_nothing_seen(model, text):
    (model / FILE).unlink() if text is None else (model / FILE).write_text(text)
    with pytest.raises(UserError, match=r"seen_images\.csv: does not say which images the generator saw"):
        refuse_if_seen(model, {"test": galaxies("9")})


def test_a_list_that_has_lost_lines_is_not_believed(model):
    (model / "run.json").write_text(json.dumps(digest_of_list(model)))
    assert read_seen_images(model)
    lines = (model / FILE).read_text().splitlines(keepends=True)
    (model / FILE).write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match=r"seen_images\.csv: .* may have lost lines"):
        read_seen_images(model)


def test_images_carry_the_list_of_their_model(model, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    copy_seen_images(str(model), images)
    assert (images / FILE).read_bytes() == (model / FILE).read_bytes()
    shutil.rmtree(model)
    model.mkdir()
    (images / FILE).unlink()
    copy_seen_images(str(model), images)
    assert not (images / FILE).exists()
