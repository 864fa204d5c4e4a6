"""What counts as an image, found without decoding it, and every kind of pixel as 8-bit RGB."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from gz2_dataset.images import decode, problem_of
from gz2_dataset.near_duplicates import signature

from ..conftest import draw_toy_galaxy


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


GALAXY = draw_toy_galaxy("edge_on", np.random.default_rng(0))
JPEG, PNG = encoded(GALAXY, quality=90), encoded(GALAXY, "PNG")


def huge_png(side: int) -> bytes:
    """A sound PNG header of ``side`` x ``side`` pixels with next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def huge_jpeg(width: int, height: int) -> bytes:
    """A JPEG whose header claims other sides than its data have."""
    start = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:start] + struct.pack(">HH", height, width) + JPEG[start + 4 :]


@pytest.mark.parametrize("content", [JPEG, PNG, JPEG + bytes(100)])
def test_a_sound_image_has_no_problem(content):
    assert problem_of(content) == ""


PROBLEMS = {
    "images that are empty files": [b""],
    "files that are not JPEG or PNG": [
        b"<html>404</html>",
        b"\xff\xd8",
        encoded(GALAXY, "GIF"),
        encoded(GALAXY, "TIFF"),
    ],
    "images that are cut short": [JPEG[:-200], PNG[:-40], JPEG[: len(JPEG) // 2]],
    "images of more than 67 million pixels": [huge_png(30_000), huge_png(8_193)],
}


@pytest.mark.parametrize(("problem", "content"), [(p, c) for p, contents in PROBLEMS.items() for c in contents])
def test_a_problem_is_named_from_the_bytes_alone(problem, content):
    assert problem_of(content) == problem


@pytest.mark.parametrize("content", [b"", b"<html>", JPEG[:300], PNG[:300], huge_png(30_000), encoded(GALAXY, "GIF")])
def test_what_cannot_be_decoded_is_an_os_error(content):
    with pytest.raises(OSError):  # noqa: PT011 - Pillow's own text
        decode(content)


@pytest.mark.parametrize("content", [huge_png(8_193), huge_jpeg(65_000, 65_000), huge_jpeg(65_000, 1_100)])
def test_an_image_of_absurd_size_is_refused_before_its_pixels_are_made(content):
    tracemalloc.start()
    with pytest.raises(OSError, match="are more than 67,108,864"):
        decode(content)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


PIXELS = np.asarray(GALAXY)
GREY = np.asarray(GALAXY.convert("L"))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{"quality": 75, "subsampling": 2}, {"quality": 95, "subsampling": 0}])
def test_jpeg_pixels_are_those_of_pillow(mode, options):
    content = encoded(GALAXY.convert(mode), **options)
    np.testing.assert_array_equal(decode(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_16_bit_images_keep_their_shades():
    deep = Image.fromarray(GREY.astype(np.uint16) * 256 + 77)
    image = decode(encoded(deep, "PNG"))
    np.testing.assert_array_equal(image, np.stack([GREY] * 3, -1))


def test_grey_images_have_three_equal_channels():
    np.testing.assert_array_equal(decode(encoded(GALAXY.convert("L"), "PNG")), np.stack([GREY] * 3, -1))


def test_cmyk_images_have_the_same_colours():
    image = decode(encoded(GALAXY.convert("CMYK"), quality=95)).astype(int)
    assert np.abs(image - PIXELS).mean() < 4


def test_transparency_and_palettes_are_flattened():
    np.testing.assert_array_equal(decode(encoded(GALAXY.convert("RGBA"), "PNG")), PIXELS)
    assert decode(encoded(GALAXY.convert("P"), "PNG")).shape == PIXELS.shape


def test_the_rotation_noted_by_a_camera_is_carried_out():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    wide = GALAXY.crop((0, 0, 64, 32))
    turned = decode(encoded(wide, "PNG", exif=exif))
    assert turned.shape == (64, 32, 3)
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(wide), -1))


def test_a_palette_that_is_missing_is_an_unreadable_image():
    """On which Pillow's conversion fails with an AssertionError."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20, 20, 1, 3, 0, 0, 0)
    pixels = chunk(b"tRNS", b"\0") + chunk(b"IDAT", zlib.compress(b"\0" * 80)) + chunk(b"IEND", b"")
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels
    for read in (decode, signature):
        with pytest.raises(OSError, match="damaged"):
            read(content)
