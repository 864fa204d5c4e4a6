"""A classifier of an earlier version sees images in the quality of its training."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from galaxy_diffusion.prediction.ensemble import Ensemble, View
from galaxy_diffusion.shared.classifier_folder import read_quality
from gz2_dataset.arrays import jpeg_round_trip


def test_images_are_compressed_as_the_training_of_each_member_did():
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    views = [View(32, 0), View(32, 0, None, 95)]
    members = [SimpleNamespace(view=view) for view in views]
    seen = Ensemble(members, ("ring",), torch.device("cpu"), "no").prepare(file.getvalue())  # pyright: ignore
    np.testing.assert_array_equal(seen[views[0]], jpeg_round_trip(pixels))
    np.testing.assert_array_equal(seen[views[1]], jpeg_round_trip(pixels, 95))
    assert (seen[views[0]] != seen[views[1]]).any()


@pytest.mark.parametrize(
    ("record", "quality"), [({"jpeg": {"quality": 95}}, 95), ({}, None), ({"jpeg": "x"}, None), (None, None)]
)
def test_the_quality_is_that_of_the_record(tmp_path: Path, record, quality):
    if record is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(record))
    assert read_quality(tmp_path) == quality
