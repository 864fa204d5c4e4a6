"""Image files as bytes: whether one is a whole image of sensible size, and its pixels as 8-bit RGB."""

from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
import simplejpeg
from huggingface_hub import constants
from PIL import Image, ImageOps

from .command_line import UserError

MAX_PIXELS = 8192**2
FORMATS = ("JPEG", "PNG")
UNKNOWN = "files that are not JPEG or PNG"
END_OF_FILE = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
TAIL, HEAD = 1024, 4096


def encoded_bytes(image: dict | None) -> bytes:
    """The file of an image in a dataset, which may come from anybody.

    Parameters
    ----------
    image : dict
        With ``bytes``, or with the ``path`` of a file, which is read only from the cache of the Hub, where `datasets`
        puts the images of a dataset that is not in Parquet.

    Raises
    ------
    UserError
        If there is neither, or if the path leads elsewhere: to a private file, for instance.
    """
    if image and image["bytes"] is not None:
        return image["bytes"]
    name = image["path"] if image else None
    path = Path(name).resolve() if name else None
    caches = (constants.HF_HUB_CACHE, datasets.config.HF_DATASETS_CACHE)
    if path is None or not path.is_file() or not any(path.is_relative_to(Path(cache).resolve()) for cache in caches):
        named = f"the file {name!r} outside the dataset" if name else "nothing"
        raise UserError(f"an image of the dataset is {named}; its bytes must be in the dataset")
    return path.read_bytes()


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
        width, height, kind = header_of(content)
    except Image.DecompressionBombError:
        return "images of more than 67 million pixels"
    except MemoryError:
        raise
    except Exception:  # damage leads Pillow to errors of any kind
        return UNKNOWN
    if width * height > MAX_PIXELS:
        return "images of more than 67 million pixels"
    if END_OF_FILE[kind] not in content[-TAIL:]:
        return "images that are cut short"
    return ""


def header_of(content: bytes) -> tuple[int, int, str]:
    """Width, height and format of an image file."""
    if content.startswith(b"\xff\xd8"):
        height, width, _, _ = simplejpeg.decode_jpeg_header(content)
        return width, height, "JPEG"
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        return *image.size, str(image.format)


def refuse_too_large(width: int, height: int) -> None:
    """Raise an `OSError` before pixels are made that no galaxy cutout has."""
    if width * height > MAX_PIXELS:
        raise OSError(f"{width} x {height} pixels are more than {MAX_PIXELS:,}")


def decode(content: bytes) -> np.ndarray:
    """The pixels of an image file as upright 8-bit RGB.

    16-bit images are scaled to 8 bits, grey ones get three equal channels, CMYK is converted, transparency is dropped,
    and the rotation that a camera recorded in EXIF is applied.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)

    Raises
    ------
    OSError
        If it cannot be decoded, or has more than 67 million pixels.
    """
    try:
        # The same library as Pillow's, in two thirds of the time; only rare JPEG files need Pillow.
        if content.startswith(b"\xff\xd8") and b"Exif" not in content[:HEAD]:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
            refuse_too_large(height, width)
            if colours in ("YCbCr", "Gray"):
                return simplejpeg.decode_jpeg(content, "RGB")
        image = Image.open(BytesIO(content), formats=FORMATS)
        refuse_too_large(*image.size)
        image.load()
        if image.getexif():
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image, np.uint32) >> 8).clip(0, 255).astype(np.uint8))
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # damage leads Pillow to errors of any kind
        raise OSError(str(error) or "damaged") from None
