"""benchmarks/gallery.py: one command makes every picture of its page, from the first seeds, and goes on."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import gallery
from benchmarks.gallery import COLUMNS, Config, variations
from galaxy_diffusion.sampling.schedulers import DEFAULT
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.sampling.settings import Sampling
from gz2_dataset import CLASS_NAMES


@pytest.fixture
def quick(monkeypatch):
    """Three steps; the images are noise."""
    monkeypatch.setattr(gallery, "Sampling", lambda *args, **kwargs: Sampling(*args, num_inference_steps=3, **kwargs))


@torch.inference_mode()
def test_a_strength_of_little_keeps_the_galaxy(quick, tiny_model):
    pipe = load_pipeline(str(tiny_model), DEFAULT, torch.device("cpu"))
    side = pipe.image_shape[-1]
    sheet = variations(pipe, 0)
    rows = sheet.reshape(len(gallery.STRENGTHS), side, COLUMNS, side, 3).swapaxes(1, 2)
    galaxy = generate_batch(pipe, [len(CLASS_NAMES) - 1], [0], **Sampling(num_inference_steps=3).kwargs)[0]
    assert all(np.array_equal(row[0], galaxy) for row in rows)
    changed = [np.abs(row[1:].astype(float) - galaxy).mean() for row in rows]
    assert changed[0] < changed[-1]


@pytest.mark.slow
@torch.inference_mode()
def test_one_command_makes_all_that_its_page_shows_and_goes_on(quick, tiny_model, tmp_path, monkeypatch):
    config = Config(tmp_path / "docs", tmp_path / "work", str(tiny_model), num_images=2)
    gallery.main(config)
    text = (tmp_path / "docs/gallery.md").read_text()
    shown = re.findall(r"\]\((images/[^)]+)\)", text)
    assert len(shown) == len(CLASS_NAMES) + 4
    for name in shown:
        Image.open(tmp_path / "docs" / name).verify()
    assert len(list((tmp_path / "work").glob("*/*.jpg"))) == 2 * len(CLASS_NAMES)

    monkeypatch.setattr(gallery, "generate_batch", None)  # nothing is drawn a second time
    monkeypatch.setattr(gallery, "interpolate", None)
    gallery.main(config)
    assert (tmp_path / "docs/gallery.md").read_text() == text
