"""Whether the crop cuts light, on drawn galaxies of known size; what the audit says of images that do not fit it."""

import numpy as np
import pytest
from PIL import Image

from gz2_dataset import build
from gz2_dataset.audit.audit import audit
from gz2_dataset.audit.crop import light_is_cut


def drawn(side: int, radius: float, axis_ratio: float = 1.0, angle: float = 0.0, noise: float = 2.0, seed: int = 0):
    """A disc of known edge on a noisy sky, uint8 (side, side, 3)."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    light = np.where(np.hypot(along, across / axis_ratio) < radius, 120, 0)[..., None]
    sky = np.random.default_rng(seed).normal(15, noise, (side, side, 3))
    return (light + sky).clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0])
@pytest.mark.parametrize("crop", [96, 160, 256])
def test_a_disc_is_cut_when_it_is_wider_than_the_crop(crop, noise):
    assert light_is_cut(drawn(256, 0.55 * crop, noise=noise), crop)
    assert not light_is_cut(drawn(256, 0.4 * crop, noise=noise), crop)


@pytest.mark.parametrize("angle", [0.0, 0.7, np.pi / 2, 2.3])
@pytest.mark.parametrize("crop", [0, 64])
def test_a_thin_disc_is_cut_at_its_ends_however_it_is_turned(crop, angle):
    side = crop or 128
    assert light_is_cut(drawn(128, 0.75 * side, 0.2, angle), crop)
    assert not light_is_cut(drawn(128, 0.42 * side, 0.2, angle), crop)


def test_a_neighbour_that_the_crop_cuts_is_not_the_galaxys_light():
    image = drawn(128, 15)
    image[60:68, 20:40] = 200
    assert not light_is_cut(image, 64)
    image[60:68, 20:60] = 200
    assert light_is_cut(image, 64)


def test_an_empty_image_has_no_light_to_cut():
    assert not light_is_cut(drawn(100, 0), 64)
    assert not light_is_cut(np.zeros((30, 50, 3), np.uint8), 64)


def built(folder, shapes: dict[str, list[np.ndarray]], **options):
    for name, images in shapes.items():
        (folder / "raw" / name).mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image).save(folder / "raw" / name / f"{name}{i}.png")
    build(folder / "raw", folder / "data", test_per_class=2, validation_per_class=1, **options)
    return audit(folder / "data", folder / "report")


def test_the_class_that_the_crop_cuts_is_named_and_no_other(tmp_path):
    large, small = ([drawn(96, radius, seed=10 * radius + i) for i in range(12)] for radius in (40, 20))
    found = built(tmp_path, {"large": large, "small": small}, center_crop=64)
    (line,) = [line for line in found.warnings if "cuts the light" in line]
    assert line.startswith("large: the central 64 px of an image cuts the light of ")
    assert line.endswith("give a larger --center_crop")
    page = (tmp_path / "report/audit.html").read_text()
    assert page.count('alt="A galaxy in 64 pixels"') == 5
    assert "The central 64 px of each image" in page


def test_images_that_do_not_fit_the_crop_are_counted(tmp_path):
    images = [drawn(96, 20, seed=i) for i in range(10)]
    images += [drawn(96, 20, seed=20)[10:86], drawn(70, 20, seed=21)]
    found = built(tmp_path, {"ring": images}, center_crop=80)
    counts = {line.partition(": ")[0]: line.partition(": ")[2] for line in found.warnings}
    assert counts["images that are not square, of which the central square is read"].startswith("1 (first ring10 ")
    assert counts["images smaller than the crop of 80 pixels, which are read on another scale"].startswith("2 (first ")
    assert not any("cuts the light" in line for line in found.warnings)
