"""Sample images in a tracker."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from accelerate.tracking import TensorBoardTracker
from PIL import Image

from galaxy_diffusion.generators.training_run import track_picture


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "grid.png")
    return tmp_path / "grid.png", pixels


def test_tensorboard_shows_the_grid(picture, tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tracker = TensorBoardTracker("run", logging_dir=tmp_path)
    tracker.start()
    track_picture(tracker, picture[0], 640)
    tracker.finish()
    found = reading.EventAccumulator(str(tmp_path / "run")).Reload()
    (image,) = found.Images("samples")
    assert (image.step, image.width, image.height) == (640, 8, 6)


def test_trackio_gets_a_picture_of_its_own_kind(picture, monkeypatch):
    """trackio has no call of its own for images in accelerate."""
    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(Image=lambda pixels: ("picture", pixels)))
    logged = []
    tracker = SimpleNamespace(name="trackio", log=lambda values, step: logged.append((values, step)))
    track_picture(tracker, picture[0], 640)
    ((values, step),) = logged
    assert step == 640
    np.testing.assert_array_equal(values["samples"][1], picture[1])
