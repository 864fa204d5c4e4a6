"""What a file of more than 8 bits holds, read without a stretch; and what cannot be used, in words."""

import gzip
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import tifffile
from astropy.io import fits
from PIL import Image

from gz2_dataset.images import decode, problem_of
from gz2_dataset.pixel_values import cube, is_finished, position_of, read_values

from .fits_files import DEC, RA, fits_bytes, galaxy
from .test_images import JPEG, PNG, encoded

CUBE = galaxy(100)
FITS = fits_bytes(CUBE)


def grey(dtype, **options) -> bytes:
    return encoded(Image.fromarray(np.arange(12).reshape(3, 4).astype(dtype)), **options)


def test_only_what_has_more_than_8_bits_is_not_finished():
    assert is_finished(JPEG)
    assert is_finished(PNG)
    assert not any(map(is_finished, (FITS, gzip.compress(FITS), grey(np.uint16, kind="PNG"), grey("u1", kind="TIFF"))))


@pytest.mark.parametrize("content", [FITS, gzip.compress(FITS), fits_bytes(CUBE, packed=True)])
def test_a_fits_file_is_read_whatever_its_packing_with_north_up(content):
    values = read_values(content)
    np.testing.assert_allclose(values.planes, CUBE[:, ::-1], atol=0.3)  # the packing rounds to a part of the noise
    np.testing.assert_allclose(position_of(values), (RA, DEC), atol=1e-9)


def test_bands_are_chosen_and_a_plane_alone_is_one_band():
    np.testing.assert_array_equal(read_values(FITS, (2, 0)).planes, CUBE[[2, 0], ::-1])
    assert read_values(fits_bytes(CUBE[0])).planes.shape == (1, 64, 64)
    assert read_values(fits_bytes(CUBE[None, :1])).planes.shape == (1, 64, 64)


@pytest.mark.parametrize(("dtype", "kind"), [(np.uint16, "PNG"), (np.uint16, "TIFF"), (np.float32, "TIFF")])
def test_deep_pictures_keep_their_numbers(dtype, kind):
    np.testing.assert_array_equal(read_values(grey(dtype, kind=kind)).planes, np.arange(12).reshape(1, 3, 4))


def test_a_tiff_of_8_bits_is_a_finished_picture():
    assert read_values(grey(np.uint8, kind="TIFF")).planes.dtype == np.uint8


def test_saturated_pixels_are_known_by_their_header_or_by_the_largest_integer():
    counts = np.full((4, 4), 100, np.uint16)
    counts[0, 0] = 65535
    assert np.isposinf(read_values(fits_bytes(counts)).planes).sum() == 1
    counts[1, :] = 60000
    assert np.isposinf(read_values(fits_bytes(counts, SATURATE=60000)).planes).sum() == 5
    gone = np.array([[np.nan, -np.inf], [np.inf, 1]], np.float32)
    planes = read_values(fits_bytes(gone)).planes
    assert (np.isnan(planes).sum(), np.isposinf(planes).sum()) == (2, 1)


COLOURS = (np.arange(60).reshape(4, 5, 3) * 1000).astype(np.uint16)


def tiff(pixels: np.ndarray, **options) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def deep_png(pixels: np.ndarray, kind: int) -> bytes:
    """A PNG of 16 bits, as its standard has it; Pillow does not write any with colours."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


OPAQUE = np.concatenate([COLOURS, np.full((4, 5, 1), 65535, np.uint16)], axis=2)
FIVE = np.arange(5 * 4 * 6, dtype=np.float32).reshape(5, 4, 6)


@pytest.mark.parametrize(
    "content",
    [
        deep_png(COLOURS, kind=2),
        deep_png(OPAQUE, kind=6),
        tiff(COLOURS, photometric="rgb"),
        tiff(COLOURS, photometric="rgb", compression="zlib"),
        tiff(OPAQUE, photometric="rgb", extrasamples=["unassalpha"]),
    ],
)
def test_a_picture_of_deep_colours_keeps_all_bits_from_blue_to_red(content):
    values = read_values(content)
    np.testing.assert_array_equal(values.planes, COLOURS.transpose(2, 0, 1)[::-1])
    assert (values.count, values.is_integer) == (3, True)


@pytest.mark.parametrize("how", [{"planarconfig": "separate"}, {"planarconfig": "contig"}, {}])
def test_of_a_tiff_of_many_bands_three_are_chosen(how):
    pixels = FIVE.transpose(1, 2, 0) if how.get("planarconfig") == "contig" else FIVE
    content = tiff(pixels, photometric="minisblack", **how)
    np.testing.assert_array_equal(read_values(content, (4, 1, 0)).planes, FIVE[[4, 1, 0]])
    with pytest.raises(OSError, match="TIFF images of 5 planes of 4 x 6, where 1 or 3 planes were expected"):
        read_values(content)


def test_a_damaged_picture_of_deep_colours_is_none():
    for content in (deep_png(COLOURS, kind=2)[:-30], tiff(COLOURS, photometric="rgb")[:-60], b"II*\0"):
        with pytest.raises(OSError, match="damaged"):
            read_values(content)


@pytest.mark.parametrize(
    ("library", "read", "content"),
    [
        ("PIL.Image.open", decode, PNG),
        ("PIL.Image.open", problem_of, PNG),
        ("PIL.Image.open", read_values, grey("u1", kind="TIFF")),
        ("tifffile.TiffFile", read_values, grey("u1", kind="TIFF")),
        ("astropy.io.fits.open", read_values, FITS),
    ],
)
def test_a_machine_without_memory_is_no_damage_to_the_file(monkeypatch, library, read, content):
    """A build would leave the galaxy out."""

    def no_memory(*args, **options):
        raise MemoryError

    monkeypatch.setattr(library, no_memory)
    with pytest.raises(MemoryError):
        read(content)


def several(*names: str) -> bytes:
    file = BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(CUBE[0] * i, name=n) for i, n in enumerate(names))]).writeto(file)
    return file.getvalue()


def test_of_several_images_the_science_is_taken():
    np.testing.assert_array_equal(read_values(several("ERR", "SCI")).planes, CUBE[:1, ::-1])


BLACK = Image.new("L", (9, 9))
REFUSED = {
    "5 planes of 8 x 9, where 1 or 3 planes were expected": fits_bytes(np.zeros((5, 8, 9))),
    "2 planes of 2 planes of 8 x 8, where planes of pixels": fits_bytes(np.zeros((2, 2, 8, 8))),
    "FITS files of 3 images .G of 64 x 64, .* none is called SCI": several("G", "R", "I"),
    "FITS files without an image": several(),
    "FITS files that are damaged": FITS[:3000],
    "gzipped files that are damaged": gzip.compress(FITS)[:-3000],
    "gzipped files that are not FITS": gzip.compress(b"text"),
    "TIFF files that are damaged": grey(np.uint16, kind="TIFF")[:60],
    "TIFF files of 2 pages": encoded(BLACK, "TIFF", save_all=True, append_images=[BLACK]),
}


@pytest.mark.parametrize("complaint", REFUSED)
def test_what_holds_something_else_is_refused_with_what_it_holds(complaint):
    with pytest.raises(OSError, match=complaint):
        read_values(REFUSED[complaint])


def test_planes_that_are_not_there_are_named():
    with pytest.raises(OSError, match=r"3 planes of 64 x 64, without all of the planes 1, 2, 3"):
        read_values(FITS, (1, 2, 3))


def test_an_image_without_a_position_has_none_and_one_with_names_of_it_has_that():
    assert np.isnan(position_of(read_values(grey(np.uint16, kind="PNG")))).all()
    file = BytesIO()
    fits.PrimaryHDU(CUBE, fits.Header({"RA": "10:00:24", "DEC": "+02:12:00"})).writeto(file)
    np.testing.assert_allclose(position_of(read_values(file.getvalue())), (RA, DEC), atol=1e-9)


def test_files_side_by_side_are_a_cube_with_the_position_of_the_first():
    values = read_values(cube([fits_bytes(plane) for plane in CUBE]))
    np.testing.assert_array_equal(values.planes, CUBE[:, ::-1])
    np.testing.assert_allclose(position_of(values), (RA, DEC), atol=1e-9)
    with pytest.raises(OSError, match=r"bands of different shapes .1 planes of 32 x 32 and 1 planes of 64 x 64"):
        cube([fits_bytes(CUBE[0]), fits_bytes(CUBE[0, :32, :32])])
