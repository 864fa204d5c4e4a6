"""TIFF and PNG files of several bands of more than 8 bits, of which Pillow reads the upper 8 bits or the first band."""

from io import BytesIO

import numpy as np
import png
import tifffile

from .images import refuse_too_large

PNG = b"\x89PNG"
KIND = 25
"""Place of the byte of a PNG file that says which channels it has."""
GREY, COLOUR = 0, (2, 6)
"""What that byte is: grey alone; red, green and blue, without and with transparency."""


def deep_bands(content: bytes) -> np.ndarray | None:
    """The bands of such a file, from blue to red where it has colours, else in the file's order.

    Parameters
    ----------
    content : bytes
        A TIFF file, or a PNG file of 16 bits.

    Returns
    -------
    ndarray, shape (bands, H, W)
        Without transparency. None for a file that Pillow reads well: of one band, or of 8 bits.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    try:
        return bands_of_png(content) if content.startswith(PNG) else bands_of_tiff(content)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # damage leads these libraries to errors of any kind
        reason = " ".join(str(error).split())
        raise OSError(f"pictures of more than 8 bits that are damaged, or of an unusual kind ({reason})") from None


def bands_of_png(content: bytes) -> np.ndarray | None:
    if content[KIND] == GREY:
        return None
    width, height, rows, info = png.Reader(bytes=content).read()
    refuse_too_large(width, height)
    channels = np.array(list(rows), np.uint16).reshape(height, width, info["planes"]).transpose(2, 0, 1)
    return channels[2::-1] if content[KIND] in COLOUR else channels[:1]


def bands_of_tiff(content: bytes) -> np.ndarray | None:
    with tifffile.TiffFile(BytesIO(content)) as file:
        page = file.pages.first
        if page.bitspersample <= 8 or page.samplesperpixel * len(file.pages) == 1:
            return None
        if len(file.series) > 1:
            raise OSError(f"TIFF files of {len(file.series)} images of different shapes")
        refuse_too_large(page.imagelength * page.samplesperpixel * len(file.pages), page.imagewidth)
        pixels, axes = file.series[0].asarray(), file.series[0].axes
        if "S" in axes:
            pixels = np.moveaxis(pixels, axes.index("S"), 0)
        bands = pixels.reshape(-1, page.imagelength, page.imagewidth)
        return bands[2::-1] if page.photometric == tifffile.PHOTOMETRIC.RGB else bands
