"""The models that come with the project: small, whole, silent about the machine that made them, and able to draw."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.shared.seen_images import read_seen_images
from gz2_dataset import CLASS_NAMES

from .conftest import ROOT

MODELS = sorted(index.parent for index in ROOT.glob("pretrained/*/model_index.json"))


@pytest.fixture(params=MODELS, ids=lambda folder: folder.name)
def model(request) -> Path:
    return request.param


def test_there_are_two():
    assert [folder.name for folder in MODELS] == ["galaxies-224", "galaxies-64"]


def test_it_is_whole_and_small(model):
    assert sum(path.stat().st_size for path in model.rglob("*")) < 14e6
    assert max(path.stat().st_size for path in model.rglob("*")) < 10e6
    names = {path.name for path in model.iterdir()}
    assert {"README.md", "run.json", "seen_images.csv", "pipeline.py", "sampler", "scheduler", "unet"} <= names
    assert len(read_seen_images(model).digests) == len(pd.read_csv(model / "seen_images.csv"))


def test_it_is_silent_about_the_machine_that_made_it(model):
    for path in model.rglob("*"):
        if path.suffix in {".json", ".jsonl", ".md"}:
            assert not re.search(r"""(^|[\s"'`(])/\w+/""", path.read_text()), path


def test_it_draws_every_class_in_full_precision(model):
    pipeline = load_pipeline(model.name, "unipc", torch.device("cpu"))
    assert pipeline.class_names == list(CLASS_NAMES)
    assert {weight.dtype for weight in pipeline.unet.parameters()} == {torch.float32}
    images = generate_batch(pipeline, [0, 4], [0, 0], num_inference_steps=2)
    assert images.shape == (2, *pipeline.image_shape[1:], 3)
    assert images.std() > 1
