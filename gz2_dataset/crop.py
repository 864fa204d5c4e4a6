"""The central square that is kept of each image: chosen when a dataset is built, read from its record ever since."""

import sys
from typing import Any

import numpy as np
from PIL import Image

from .command_line import UserError
from .images import decode

GZ2_SIDE, GZ2_CROP = 424, 224
"""Sides in pixels of the cutouts of Galaxy Zoo 2, and of the central square that holds nearly every galaxy."""
WHOLE = 0
"""Means the whole image or, if it is not square, its largest central square."""


def usual_crop(width: int, height: int) -> int:
    """The crop where nobody has chosen one: 224 for a cutout of Galaxy Zoo 2, recognised by its size, else `WHOLE`.

    Examples
    --------
    >>> usual_crop(424, 424), usual_crop(512, 512)
    (224, 0)
    """
    return GZ2_CROP if (width, height) == (GZ2_SIDE, GZ2_SIDE) else WHOLE


def guessed_crop(data: str, first_image: bytes) -> int:
    """The crop of a dataset that does not name one, guessed from its first image; a line on stderr says so.

    Raises
    ------
    UserError
        If the image cannot be decoded.
    """
    try:
        height, width, _ = decode(first_image).shape
    except OSError as error:
        raise UserError(f"{data}: the first image of train cannot be decoded ({error})") from None
    crop = usual_crop(width, height)
    why = f"it has no build.json, and its first image has {width} x {height} pixels"
    print(f"note: {data}: {crop_in_words(crop)} of each image is taken, because {why}", file=sys.stderr)
    return crop


def recorded_crop(record: dict[str, Any]) -> int | None:
    """The crop that a ``run.json`` names; 224, the default then, where it is older than such records.

    Examples
    --------
    >>> recorded_crop({"center_crop": 0}), recorded_crop({})
    (0, 224)
    """
    config = record.get("config", {})
    crop = record.get("center_crop", config.get("center_crop", GZ2_CROP) if isinstance(config, dict) else None)
    if crop is not None and (not isinstance(crop, int) or crop < 0):
        raise UserError(
            f"run.json: center_crop is {str(crop)[:40]!r}, which is no side in pixels; make the model again"
        )
    return crop


def crop_in_words(center_crop: int) -> str:
    """A crop in words.

    Examples
    --------
    >>> crop_in_words(224), crop_in_words(0)
    ('the central 224 px', 'the whole')
    """
    return f"the central {center_crop} px" if center_crop else "the whole"


def central_square(height: int, width: int, center_crop: int) -> tuple[int, int, int]:
    """Top, left and side in pixels of what `prepare_image` keeps of an image.

    Examples
    --------
    >>> central_square(424, 424, 224), central_square(100, 60, 0)
    ((100, 100, 224), (20, 0, 60))
    """
    side = min(center_crop or height, height, width)
    return (height - side) // 2, (width - side) // 2, side


def prepare_image(pixels: np.ndarray, resolution: int, center_crop: int) -> np.ndarray:
    """The central square of an image, resized to ``resolution`` pixels.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
    resolution : int
    center_crop : int
        Side of the square in pixels; of a smaller image, or for `WHOLE`, the largest central square is kept.

    Returns
    -------
    ndarray of uint8, shape (resolution, resolution, 3)
    """
    height, width, _ = pixels.shape
    top, left, side = central_square(height, width, center_crop)
    if side == resolution:
        return pixels[top : top + side, left : left + side]
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(pixels).resize((resolution, resolution), Image.Resampling.LANCZOS, box=box))
