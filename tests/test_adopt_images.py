"""adopt_images.py: another generator's images are used like our own, and not trusted more."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import adopt_images
import evaluate_images
import train_classifier
from adopt_images import Config
from galaxy_diffusion.shared.image_folder import load_generated
from gz2_dataset import UserError, load_arrays

RARE = "cigar_shaped_smooth"


@pytest.fixture
def theirs(tmp_path, toy_data) -> Path:
    """Twelve PNG images of another generator at 48 x 64 px, the first as bright as its number."""
    for number in range(12):
        path = tmp_path / "theirs" / RARE / f"sample_{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((48, 64, 3), 10 * number, np.uint8)).save(path)
    return tmp_path / "theirs"


def adopt(theirs: Path, toy_data: Path, output: Path, seen: str = "train", **changes) -> Path:
    adopt_images.main(Config(str(theirs), str(toy_data), seen, output, **{"resolution": 32, **changes}))
    return output


def test_the_images_are_read_as_our_own_and_say_where_they_come_from(theirs, toy_data, tmp_path):
    output = adopt(theirs, toy_data, tmp_path / "out", generator="GalaxySD")
    train = load_arrays(str(toy_data), "train", 32)
    images = load_generated(str(output), train.class_names, 32, train.center_crop)
    np.testing.assert_allclose(images.images.mean(axis=(1, 2, 3)), 10 * np.arange(12), atol=1)
    rows = [json.loads(line) for line in (output / "metadata.jsonl").read_text().splitlines()]
    assert [row["source_file"] for row in rows] == [f"{RARE}/sample_{i:02d}.png" for i in range(12)]
    assert {row["scheduler"] for row in rows} == {"GalaxySD"}


@pytest.mark.parametrize(("seen", "splits"), [("train", ["train"]), ("train+unlabelled", ["train", "unlabelled"])])
def test_what_the_generator_has_seen_is_the_splits_that_are_named(theirs, toy_data, tmp_path, seen, splits):
    listed = pd.read_csv(adopt(theirs, toy_data, tmp_path / "out", seen) / "seen_images.csv", dtype=str)
    expected = [i for split in splits for i in load_arrays(str(toy_data), split, 32).image_ids]
    assert list(listed["image_id"]) == expected


def test_a_list_with_a_test_galaxy_is_refused_where_the_images_are_used(theirs, toy_data, tmp_path):
    test = load_arrays(str(toy_data), "test", 32)
    pd.DataFrame({"image_id": [test.image_ids[0]], "sha256": ["0"]}).to_csv(tmp_path / "seen.csv", index=False)
    output = adopt(theirs, toy_data, tmp_path / "out", str(tmp_path / "seen.csv"))
    with pytest.raises(UserError, match=r"saw .* of the test split"):
        evaluate_images.main(evaluate_images.Config(str(toy_data), str(output), tmp_path / "fidelity"))
    with pytest.raises(UserError, match=r"saw .* of the test split"):
        train_classifier.main(
            train_classifier.Config(data=str(toy_data), output_dir=tmp_path / "net", augment_with=str(output))
        )


@pytest.mark.slow
def test_a_generator_that_has_seen_nothing_is_evaluated_as_if_it_had_seen_the_train_split(
    theirs, toy_data, tmp_path, capsys
):
    train = load_arrays(str(toy_data), "train", 32)
    copied = train.of_class(RARE)[0]
    Image.fromarray(train.images[copied]).save(theirs / RARE / "sample_00.png")
    output = adopt(theirs, toy_data, tmp_path / "out", "none")
    settings = {"morphology": False, "probe": False}
    evaluate_images.main(evaluate_images.Config(str(toy_data), str(output), tmp_path / "fidelity", **settings))
    assert "said to have seen nothing" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "fidelity" / "copies.csv", dtype={"image_id": str})
    assert found["image_id"][0] == train.image_ids[copied], "it is no copy if the word is true, but it is shown"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda theirs: (theirs / RARE).rename(theirs / "cigars"), "cigars: is no class of the data"),
        (lambda theirs: (theirs / RARE / "sample_03.png").write_bytes(b"?"), "sample_03.png: is one of files that"),
        (lambda theirs: shutil.rmtree(theirs / RARE), "holds no folder of images"),
    ],
)
def test_what_cannot_be_taken_is_said_in_one_line(theirs, toy_data, tmp_path, damage, said):
    damage(theirs)
    with pytest.raises(UserError, match=re.escape(said)) as error:
        adopt(theirs, toy_data, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "metadata.jsonl").exists()


def test_other_images_of_the_same_folder_are_another_run(theirs, toy_data, tmp_path):
    adopt(theirs, toy_data, tmp_path / "out")
    adopt(theirs, toy_data, tmp_path / "out")
    (theirs / RARE / "sample_11.png").unlink()
    with pytest.raises(UserError, match="another images_stamp"):
        adopt(theirs, toy_data, tmp_path / "out")


def test_small_images_and_unknown_lists_are_refused(theirs, toy_data, tmp_path):
    with pytest.raises(UserError, match=r"64 x 48 pixels; give --resolution 48 or less"):
        adopt(theirs, toy_data, tmp_path / "out", resolution=64)
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(UserError, match="everything: does not say which images the generator saw"):
        adopt(theirs, toy_data, tmp_path / "out", "everything")
