"""The file that lies beside a classifier's weights prepares images as the project itself does, without the project."""

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galaxy_diffusion.classifiers import image_processor
from galaxy_diffusion.classifiers.image_processor import GalaxyImageProcessor
from gz2_dataset.arrays import jpeg_round_trip, jpeg_settings
from gz2_dataset.crop import prepare_image

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]


@pytest.mark.parametrize("shape", [(424, 424), (300, 424), (33, 20), (64, 64)])
@pytest.mark.parametrize(("resolution", "center_crop"), [(64, 224), (64, 0), (224, 224), (64, 64)])
def test_it_gives_the_net_what_the_training_gave_it(shape, resolution, center_crop):
    pixels = np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)
    expected = (jpeg_round_trip(prepare_image(pixels, resolution, center_crop)) / 255 - MEAN) / STD
    prepare = GalaxyImageProcessor(resolution, center_crop, MEAN, STD, jpeg_settings(resolution))
    (seen,) = prepare(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    np.testing.assert_allclose(seen.permute(1, 2, 0), expected, atol=1e-5)


def test_several_images_become_one_batch_in_their_order():
    prepare = GalaxyImageProcessor(8, 0, MEAN, STD, jpeg_settings(8))
    images = [Image.new("RGB", (20, 20), colour) for colour in ("black", "white")]
    dark, bright = prepare(images)["pixel_values"]
    assert dark.max() < bright.min()


def test_it_needs_nothing_of_the_project():
    tree = ast.parse(Path(image_processor.__file__).read_text())
    froms = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert froms == {"io", "PIL", "transformers"}
