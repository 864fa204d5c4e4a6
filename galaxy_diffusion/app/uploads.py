"""A picture that a visitor brings: its size checked, its pixels, and the part of it that a net sees drawn on it."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gz2_dataset import UserError
from gz2_dataset.crop import central_square
from gz2_dataset.stretch import Stretch, pixels_of

MAX_BYTES = 16 * 2**20
SHOWN = 448
"""Side of a picture on the page, in pixels."""
FRAME = (255, 176, 0)
ASK = "upload a JPEG, PNG, TIFF or FITS file of one galaxy"


def read_upload(path: str | None) -> tuple[str, bytes]:
    """The name of an uploaded file, and its content.

    Raises
    ------
    UserError
        If there is none, or it is too large.
    """
    if not path:
        raise UserError(f"no picture: {ASK}")
    file = Path(path)
    if file.stat().st_size > MAX_BYTES:
        raise UserError(f"{file.name}: is larger than {MAX_BYTES // 2**20} MB; {ASK}")
    return file.name, file.read_bytes()


def picture_of(content: bytes, stretch: Stretch | None = None) -> np.ndarray:
    """The pixels of an image file, uint8 (H, W, 3).

    Parameters
    ----------
    content : bytes
    stretch : Stretch, optional
        Of the data that a net has learned from; without one a FITS file cannot become a picture.

    Raises
    ------
    UserError
        If it is no whole image, or needs a stretch.
    """
    try:
        return pixels_of(content, stretch)
    except OSError as error:
        raise UserError(f"the picture cannot be read ({error}); {ASK}") from None


def with_crop_drawn(pixels: np.ndarray, center_crop: int) -> Image.Image:
    """A picture of at most `SHOWN` pixels with a frame around what a net sees, and the rest of it dimmed.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
    center_crop : int
        As in `crop.prepare_image`.
    """
    height, width, _ = pixels.shape
    top, left, side = central_square(height, width, center_crop)
    scale = SHOWN / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    west, north, east, south = (round(edge * scale) for edge in (left, top, left + side, top + side))
    dimmed = Image.fromarray(np.asarray(picture) // 2)
    dimmed.paste(picture.crop((west, north, east, south)), (west, north))
    ImageDraw.Draw(dimmed).rectangle((west, north, east - 1, south - 1), outline=FRAME, width=3)
    return dimmed
