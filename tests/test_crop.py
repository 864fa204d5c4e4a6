"""A dataset's crop through all commands: each reads it from the data, and none mixes two."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml

import evaluate_images
import generate
import report
import train_classifier
import train_ddpm
import train_sagan
from galaxy_diffusion.evaluation.pair import load_real_and_generated
from gz2_dataset import UserError, build, load_arrays

from .conftest import ROOT

CROP, SIZE = 40, 32


def preset(name: str, **changes) -> dict:
    return {**yaml.safe_load((ROOT / f"configs/{name}.yaml").read_text()), **changes}


@pytest.fixture(scope="module")
def data(toy_source, tmp_path_factory) -> Path:
    """The toy survey of which the central 40 px are kept."""
    output = tmp_path_factory.mktemp("cropped") / "data"
    build(toy_source, output, test_per_class=4, validation_per_class=1, center_crop=CROP)
    return output


def train(data: Path, output: Path) -> None:
    train_ddpm.main(train_ddpm.Config(data=str(data), output_dir=output, **preset("ddpm_tiny", total_images=32)))


@pytest.fixture(scope="module")
def model(data, tmp_path_factory) -> Path:
    """A diffusion model that has seen 32 images."""
    folder = tmp_path_factory.mktemp("model") / "ddpm"
    train(data, folder)
    return folder


def draw(model: Path, output: Path, **changes) -> None:
    generate.main(generate.Config(str(model), "2", output, num_inference_steps=2, **changes))


@pytest.fixture(scope="module")
def generated(model, tmp_path_factory) -> Path:
    """Two images of each class."""
    folder = tmp_path_factory.mktemp("generated") / "images"
    draw(model, folder)
    return folder


@pytest.fixture(scope="module")
def classifier(data, generated, tmp_path_factory) -> Path:
    """A classifier of real and generated images."""
    folder = tmp_path_factory.mktemp("classifier") / "run"
    classify(data, folder, generated)
    return folder


def classify(data: Path, output: Path, generated: Path) -> None:
    settings = preset("classifier_tiny", total_images=16, augment_with=str(generated))
    train_classifier.main(train_classifier.Config(data=str(data), output_dir=output, **settings))


def record_of(folder: Path, name: str = "run.json") -> dict:
    return json.loads((folder / name).read_text())


@pytest.mark.parametrize("script", [train_ddpm, train_sagan, generate, train_classifier, evaluate_images, report])
def test_no_command_is_told_the_crop(script):
    assert not [field.name for field in fields(script.Config) if "crop" in field.name]


@pytest.mark.slow
def test_every_record_has_the_crop_of_the_data(data, model, generated, classifier, tmp_path):
    sagan = preset("sagan_tiny", total_images=32)
    train_sagan.main(train_sagan.Config(data=str(data), output_dir=tmp_path / "sagan", **sagan))
    for folder in (data / "build.json", model / "run.json", tmp_path / "sagan/run.json", generated / "run.json"):
        assert json.loads(folder.read_text())["center_crop"] == CROP
    assert record_of(classifier, "metrics.json")["center_crop"] == CROP
    assert f"it saw the central {CROP} px" in (model / "README.md").read_text()


def test_real_images_of_an_evaluation_have_the_pixels_of_the_training(data, generated):
    pair, train = load_real_and_generated(str(data), str(generated), jpeg=False), load_arrays(str(data), "train", SIZE)
    of_id = dict(zip(train.image_ids, train.images, strict=True))
    rows = [row for row, image_id in enumerate(pair.real.image_ids) if image_id in of_id]
    assert len(rows) == len(train)
    for row in rows:
        np.testing.assert_array_equal(pair.real.images[row], of_id[pair.real.image_ids[row]])


def test_variations_start_from_the_crop_of_the_training(data, toy_data, model, tmp_path):
    draw(model, tmp_path / "varied", variations_of=str(data), strength=0.5)
    with pytest.raises(UserError, match=f"learned from the central {CROP} px of each image, but the data gives the wh"):
        draw(model, tmp_path / "other", variations_of=str(toy_data), strength=0.5)
    assert not (tmp_path / "other").exists()


def test_generated_images_of_another_crop_are_neither_judged_nor_learned_from(toy_data, generated, tmp_path):
    complaint = f"images: the generator has learned from the central {CROP} px .* build it with --center_crop {CROP}"
    with pytest.raises(UserError, match=complaint):
        load_real_and_generated(str(toy_data), str(generated))
    with pytest.raises(UserError, match=complaint):
        classify(toy_data, tmp_path / "run", generated)


def test_a_training_does_not_go_on_with_another_crop(toy_data, model):
    with pytest.raises(UserError, match=rf"another center_crop \({CROP}, now 0\)"):
        train(toy_data, model)


def test_a_classifiers_image_processors_know_the_crop(classifier):
    assert record_of(classifier, "preprocessor_config.json")["center_crop"] == CROP
    assert record_of(classifier, "config.json")["pretrained_cfg"]["crop_pct"] == CROP / 64
