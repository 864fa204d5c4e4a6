"""Copies of an image are found however they are turned or compressed; galaxies that merely look alike are not."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageEnhance
from scipy import ndimage

from gz2_dataset.near_duplicates import near_duplicates, signature
from tests.conftest import draw_toy_galaxy

SIZE = 128
NUM_GALAXIES = 12


def jpeg(image: Image.Image, quality: int = 75) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def round_galaxy(sky: np.ndarray) -> Image.Image:
    """The same round galaxy each time, in front of a different sky, whose noise is coarser than a pixel, as in SDSS."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    light = 180 * np.exp(-(x**2 + y**2) / (2 * 12**2))
    noise = ndimage.zoom(sky, (2, 2, 1), order=1)
    return Image.fromarray((light[..., None] + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def galaxies() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [round_galaxy(rng.normal(20, 8, (SIZE // 2, SIZE // 2, 3))) for _ in range(NUM_GALAXIES)]


def partners(galaxies: list[Image.Image], copies: list[bytes]) -> list[tuple[int, int]]:
    signatures = [signature(jpeg(galaxy)) for galaxy in galaxies] + [signature(copy) for copy in copies]
    return near_duplicates(np.stack(signatures))


def test_equal_galaxies_in_different_skies_are_no_duplicates(galaxies):
    assert partners(galaxies, []) == []


@pytest.mark.parametrize("class_name", ["completely_round_smooth", "edge_on"])
def test_toy_galaxies_of_a_class_are_no_duplicates(class_name):
    rng = np.random.default_rng(1)
    assert partners([draw_toy_galaxy(class_name, rng) for _ in range(60)], []) == []


@pytest.mark.parametrize("transpose", list(Image.Transpose))
def test_each_symmetry_of_the_square_is_found(galaxies, transpose):
    copies = [jpeg(galaxy.transpose(transpose), 90) for galaxy in galaxies]
    assert partners(galaxies, copies) == [(i, i + NUM_GALAXIES) for i in range(NUM_GALAXIES)]


@pytest.mark.parametrize(
    "edit",
    [
        lambda image: image.resize((SIZE * 9 // 10, SIZE * 9 // 10), Image.Resampling.LANCZOS),
        lambda image: image.resize((SIZE // 2, SIZE // 2), Image.Resampling.BICUBIC),
        lambda image: image.convert("L"),
        lambda image: ImageChops.offset(image, 1, -1),
        lambda image: ImageEnhance.Brightness(image).enhance(1.1),
        lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    ],
    ids=["0.9 x", "half", "grey", "shifted", "brighter", "darker"],
)
def test_edited_and_flipped_copies_are_found(galaxies, edit):
    copies = [jpeg(edit(galaxy.transpose(Image.Transpose.FLIP_LEFT_RIGHT))) for galaxy in galaxies]
    assert partners(galaxies, copies) == [(i, i + NUM_GALAXIES) for i in range(NUM_GALAXIES)]


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_recompressed_copies_are_found(galaxies, quality):
    copies = [jpeg(galaxy, quality) for galaxy in galaxies]
    assert partners(galaxies, copies) == [(i, i + NUM_GALAXIES) for i in range(NUM_GALAXIES)]


def test_another_format_is_found(galaxies):
    buffer = BytesIO()
    galaxies[3].save(buffer, "PNG")
    assert partners(galaxies, [buffer.getvalue()]) == [(3, NUM_GALAXIES)]


def test_a_group_of_copies_hangs_together(galaxies):
    """Equal signatures are paired with the first of their kind only."""
    same, turned = jpeg(galaxies[0]), jpeg(galaxies[0].transpose(Image.Transpose.ROTATE_90), 90)
    found = partners(galaxies[:2], [same, turned, same])
    assert found == [(0, 2), (0, 3), (0, 4)]


def test_order_does_not_matter(galaxies):
    signatures = np.stack([signature(jpeg(g)) for g in [*galaxies, galaxies[5].transpose(Image.Transpose.TRANSPOSE)]])
    assert near_duplicates(signatures) == [(5, NUM_GALAXIES)]
    assert near_duplicates(signatures[::-1]) == [(0, NUM_GALAXIES - 5)]


def test_plain_images_are_not_told_to_be_the_same():
    """Without noise and neighbours there is nothing to tell two round galaxies apart, so nobody loses a galaxy."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    blobs = [120 * np.exp(-(x**2 + y**2) / (2 * width**2)) for width in (12.0, 12.5, 13.0, 14.0)]
    images = [Image.fromarray(blob.astype(np.uint8)) for blob in blobs] + [Image.new("L", (SIZE, SIZE))] * 2
    assert partners(images, []) == []


def test_one_image_and_none_have_no_duplicates(galaxies):
    assert partners(galaxies[:1], []) == []
    assert near_duplicates(np.zeros((0, 64, 64), np.int8)) == []


@pytest.mark.parametrize("damaged", [b"", b"no image", jpeg(Image.new("RGB", (64, 64)))[:300]])
def test_damaged_images_raise_os_error(damaged):
    with pytest.raises(OSError):  # noqa: PT011 -- Pillow's message differs by damage
        signature(damaged)


def test_16_bits_show_the_same_sky_as_8():
    """Pillow's own conversion to grey cuts them off at 255."""
    galaxy = draw_toy_galaxy("spiral", np.random.default_rng(3)).convert("L")
    deep = Image.fromarray(np.asarray(galaxy).astype(np.uint16) * 257)
    buffers = BytesIO(), BytesIO()
    for image, buffer in zip((galaxy, deep), buffers, strict=True):
        image.save(buffer, "PNG")
    np.testing.assert_array_equal(*(signature(buffer.getvalue()) for buffer in buffers))
