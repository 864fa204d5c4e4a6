"""Files of more than 8 bits, FITS, TIFF and PNG, as planes of numbers: what they hold before any stretch."""

import gzip
import math
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.wcs import WCS, FITSFixedWarning
from PIL import Image

from .deep_bands import deep_bands
from .images import MAX_PIXELS

FITS, GZIP, PNG, TIFF = b"SIMPLE  =", b"\x1f\x8b", b"\x89PNG", (b"II*\0", b"MM\0*")
"""How files of each kind begin."""
DEPTH_OF_PNG = 24
"""Place of the byte of a PNG file that says how many bits a pixel has in each channel."""
MAX_UNPACKED = 2**28
SCIENCE = "SCI"
"""Name of the extension that holds the image, where there are others with its errors or flags."""
POSITION = ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT", "CROTA", "CD1_", "CD2_", "PC1_", "PC2_", "PV1_", "PV2_")
POSITION += ("RADESYS", "EQUINOX", "LONPOLE", "LATPOLE", "RA", "DEC", "WCSAXES")
"""How the keywords of a FITS header begin that say where an image is in the sky."""


for category in (VerifyWarning, FITSFixedWarning):  # headers of surveys are often not quite to the standard
    warnings.simplefilter("ignore", category)


class Unexpected(OSError):
    """An image file that can be read, and holds something else than an image of a galaxy."""


@dataclass(frozen=True)
class PixelValues:
    """What an image file holds.

    Attributes
    ----------
    planes : ndarray of float32 or uint8, shape (bands, H, W)
        The top row first. NaN where nothing was measured, infinity where a pixel is saturated; uint8 is a finished
        picture with the planes red, green and blue.
    count : int
        Planes that the file has.
    is_integer : bool
        Whether the file holds whole numbers, such as the grey levels of a 16-bit picture.
    header : fits.Header, optional
        Of a FITS file.
    """

    planes: np.ndarray
    count: int = 1
    is_integer: bool = False
    header: fits.Header | None = None


def is_finished(content: bytes) -> bool:
    """Whether a file is stored and read as it is: anything but FITS, TIFF, and PNG of 16 bits."""
    if content.startswith(PNG):
        return content[DEPTH_OF_PNG : DEPTH_OF_PNG + 1] != b"\x10"
    return not content.startswith((FITS, GZIP, *TIFF))


def read_values(content: bytes, planes: Sequence[int] = ()) -> PixelValues:
    """The numbers in an image file that is not finished.

    Parameters
    ----------
    content : bytes
    planes : sequence of int
        Which planes of a FITS cube or of a picture of several deep bands, counted from 0; by default all, which must
        then be one or three.

    Raises
    ------
    OSError
        If it cannot be read, or holds something else; the text says what.
    """
    return read_picture(content, planes) if content.startswith((PNG, *TIFF)) else read_fits(content, planes)


def read_picture(content: bytes, planes: Sequence[int] = ()) -> PixelValues:
    """A TIFF or PNG file; what has 8 bits is finished."""
    kind = "PNG" if content.startswith(PNG) else "TIFF"
    try:
        if (bands := deep_bands(content)) is not None:
            chosen = bands[chosen_planes(bands.shape, planes, kind)].astype(np.float32)
            return PixelValues(chosen, len(bands), np.issubdtype(bands.dtype, np.integer))
        with Image.open(BytesIO(content), formats=(kind,)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Unexpected("images of more than 67 million pixels")
            if (pages := getattr(image, "n_frames", 1)) > 1:
                raise Unexpected(f"TIFF files of {pages} pages, where one was expected")
            deep = image.mode == "F" or image.mode.startswith("I")
            pixels = np.asarray(image if deep else image.convert("RGB"))
    except (Unexpected, MemoryError):
        raise
    except Exception:  # damage leads Pillow to errors of any kind
        raise OSError(f"{kind} files that are damaged, or of a kind that Pillow does not read") from None
    if not deep:
        return PixelValues(pixels.transpose(2, 0, 1))
    return PixelValues(pixels[None].astype(np.float32), 1, np.issubdtype(pixels.dtype, np.integer))


def read_fits(content: bytes, planes: Sequence[int] = ()) -> PixelValues:
    """A FITS file, plain, gzipped or tile-compressed: its only image, that of the extension SCI, or the primary one."""
    if content.startswith(GZIP):
        content = unpacked(content)
    try:
        with fits.open(BytesIO(content), memmap=False) as file:
            hdu = the_image(file)
            chosen = chosen_planes(hdu.shape, planes)
            header, data = hdu.header.copy(), hdu.data
    except (Unexpected, MemoryError):
        raise
    except Exception:  # damage leads astropy to errors of any kind
        raise OSError("FITS files that are damaged") from None
    data = data.reshape(-1, *data.shape[-2:])
    count, data = len(data), data[chosen, ::-1]  # the first row of a FITS image is the lowest
    is_integer = np.issubdtype(data.dtype, np.integer)
    values = data.astype(np.float32)
    limit = header.get("SATURATE", np.iinfo(data.dtype).max if is_integer else np.inf)
    if isinstance(limit, (int, float)) and limit > 0:
        values[data >= limit] = np.inf
    values[values == -np.inf] = np.nan
    return PixelValues(values, count, is_integer, header)


def unpacked(content: bytes) -> bytes:
    """A gzipped file, unless it inflates beyond what any cutout has."""
    try:
        with gzip.open(BytesIO(content)) as file:
            plain = file.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error):
        raise OSError("gzipped files that are damaged") from None
    if len(plain) > MAX_UNPACKED:
        raise OSError("gzipped files that inflate to more than 256 MB")
    if not plain.startswith(FITS):
        raise OSError("gzipped files that are not FITS")
    return plain


def the_image(file: fits.HDUList) -> fits.ImageHDU:
    """The image among the extensions of a FITS file."""
    images = [hdu for hdu in file if hdu.is_image and len(hdu.shape) > 1]
    if not images:
        raise Unexpected("FITS files without an image" + (", with a table" if len(file) > 1 else ""))
    named = [hdu for hdu in images if hdu.name == SCIENCE]
    if len(images) > 1 and not named and images[0] is not file[0]:
        names = ", ".join(f"{hdu.name} of {in_words(hdu.shape)}" for hdu in images[:4])
        raise Unexpected(f"FITS files of {len(images)} images ({names}), of which none is called {SCIENCE}")
    return (named or images)[0]


def chosen_planes(shape: tuple[int, ...], planes: Sequence[int], kind: str = "FITS") -> list[int]:
    """Which planes of a cube are read; an OSError that says what it holds if they are not there."""
    *leading, height, width = shape
    count = math.prod(leading)
    if height * width > MAX_PIXELS or count * height * width > 3 * MAX_PIXELS:
        raise Unexpected("images of more than 67 million pixels")
    if height * width == 0 or len([n for n in leading if n > 1]) > 1:
        raise Unexpected(f"{kind} images of {in_words(shape)}, where planes of pixels were expected")
    if planes and max(planes) >= count:
        wanted = ", ".join(map(str, planes))
        raise Unexpected(f"{kind} images of {in_words(shape)}, without all of the planes {wanted}")
    if not planes and count not in (1, 3):
        raise Unexpected(
            f"{kind} images of {in_words(shape)}, where 1 or 3 planes were expected (--bands chooses some)"
        )
    return list(planes or range(count))


def in_words(shape: tuple[int, ...]) -> str:
    """The shape of an image.

    Examples
    --------
    >>> in_words((5, 128, 64)), in_words((128, 128))
    ('5 planes of 128 x 64', '128 x 128')
    """
    *leading, height, width = shape
    return "".join(f"{count} planes of " for count in leading) + f"{height} x {width}"


def position_of(values: PixelValues) -> tuple[float, float]:
    """Right ascension and declination of the middle of an image in degrees (ICRS): by its WCS, else RA and DEC.

    NaN where its header does not say.
    """
    header = values.header
    if header is None:
        return math.nan, math.nan
    try:
        wcs = WCS(header).celestial if "CTYPE1" in header else None
        if wcs is not None and wcs.has_celestial:
            _, height, width = values.planes.shape
            sky = wcs.pixel_to_world((width - 1) / 2, (height - 1) / 2).icrs
        else:
            sky = in_degrees(header["RA"], header["DEC"])
        return float(sky.ra.deg), float(sky.dec.deg)
    except Exception:  # whatever is wrong with a header, the image is one without a known position
        return math.nan, math.nan


def in_degrees(ra: float | str, dec: float | str) -> SkyCoord:
    """A position as headers have it: in degrees, or in hours and degrees with minutes and seconds."""
    try:
        return SkyCoord(float(ra), float(dec), unit=units.deg)
    except ValueError:
        return SkyCoord(ra, dec, unit=(units.hourangle, units.deg))


def cube(contents: Sequence[bytes]) -> bytes:
    """One FITS file of the images of several bands, in their order, with the position of the first.

    Raises
    ------
    OSError
        If one cannot be read, or they differ in size.
    """
    bands = [read_values(content) for content in contents]
    shapes = {band.planes.shape for band in bands}
    if any(band.planes.dtype == np.uint8 for band in bands):
        raise Unexpected("bands that are finished pictures of 8 bits")
    if len(shapes) > 1 or max(shapes)[0] > 1:
        raise Unexpected(f"bands of different shapes ({' and '.join(sorted(map(in_words, shapes)))})")
    kept = [card for card in (bands[0].header or fits.Header()).cards if card.keyword.startswith(POSITION)]
    file = BytesIO()
    planes = np.concatenate([band.planes for band in bands])[:, ::-1]
    fits.PrimaryHDU(planes, fits.Header(kept)).writeto(file, output_verify="silentfix")
    return file.getvalue()
