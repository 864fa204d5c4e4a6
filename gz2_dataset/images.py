"""Galaxy images as bytes: is it a whole image of sensible size, and its pixels as 8-bit RGB."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 8192**2
FORMATS = ("JPEG", "PNG")
END_OF_FILE = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
TAIL = 1024


def problem_of(content: bytes) -> str:
    """What is wrong with an image file, found without decoding it.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    str
        A reason such as ``"images that are cut short"``; empty for a sound file.
    """
    if not content:
        return "images that are empty files"
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            size, kind = image.size, image.format
    except Image.DecompressionBombError:
        return "images of more than 67 million pixels"
    except (OSError, SyntaxError, ValueError):
        return "files that are no JPEG or PNG"
    if size[0] * size[1] > MAX_PIXELS:
        return "images of more than 67 million pixels"
    if END_OF_FILE[kind] not in content[-TAIL:]:
        return "images that are cut short"
    return ""


def decode(content: bytes) -> Image.Image:
    """The pixels of an image file as upright 8-bit RGB.

    Raises
    ------
    OSError
        If it cannot be decoded.
    """
    try:
        image = Image.open(BytesIO(content), formats=FORMATS)
        image.load()
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(str(error)) from None
    return as_rgb(image)


def as_rgb(image: Image.Image) -> Image.Image:
    """An image as upright 8-bit RGB.

    16-bit images are scaled to 8 bits, grey ones get three equal channels, CMYK is converted, transparency is dropped,
    and the rotation that a camera noted in EXIF is carried out.
    """
    if image.getexif():
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")
