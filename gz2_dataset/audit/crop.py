"""Does the crop keep the galaxies whole, and do all images give it the square that it needs?"""

import numpy as np
import pandas as pd
from scipy import ndimage

from gz2_dataset.audit.images import BuiltRows, counted
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.crop import crop_in_words, prepare_image
from gz2_dataset.splits import hash_of

SIDE = 64
"""Pixels across the crop in which galaxies are looked at."""
LOOKED_AT = 50
"""Training galaxies of each class, those with the smallest SHA-256 of image_id."""
TOLERATED_SHARE = 0.2
"""Neighbours that touch a galaxy count as its light: of GZ2's images, 224 of 424 pixels cut 5 to 13 % of a class."""
SIGMAS, LEAST = 5.0, 24.0
"""Light is brighter than the sky by so many times its noise, and by at least so many grey levels."""
DARK = 64
"""A class whose brightest pixel has fewer grey levels uses a quarter of what 8 bits hold."""


def check_crop(table: pd.DataFrame, rows: BuiltRows, record: BuildRecord) -> list[str]:
    """What is worth knowing about the crop.

    Parameters
    ----------
    table : DataFrame
        Of `images.examine`.
    rows : BuiltRows
    record : BuildRecord

    Returns
    -------
    list of str
        Warnings: images that are not square, smaller than the crop or, where it is the whole, of mixed sizes; classes
        of which it cuts many galaxies; and classes that are dark.
    """
    warnings, crop = [], record.center_crop
    sound = table[table["problem"] == ""]
    sides = sound[["width", "height"]].min(axis=1)
    other = sound[sides != sides.mode().iloc[0]] if len(sound) else sound
    if not crop and len(other):
        warnings.append(
            counted(
                f"images whose shorter side is not {sides.mode().iloc[0]} pixels, which are read whole, and so on "
                "another scale unless they show as much of the sky",
                other,
            )
        )
    oblong = sound[sound["width"] != sound["height"]]
    small = sound[sound[["width", "height"]].min(axis=1) < crop]
    if len(oblong):
        warnings.append(counted("images that are not square, of which the central square is read", oblong))
    if len(small):
        warnings.append(
            counted(f"images smaller than the crop of {crop} pixels, which are read on another scale", small)
        )
    remedy = "give a larger --center_crop" if crop else "take larger cutouts"
    for label, name in enumerate(record.classes):
        looked_at = first_by_hash(sound, label)
        pixels = [rows.pixels(row) for row in looked_at.index]
        cut = looked_at[[light_is_cut(image, crop) for image in pixels]]
        if (brightest := max((int(image.max()) for image in pixels), default=255)) < DARK:
            warnings.append(
                f"{name}: dark, with {brightest} as the brightest of 255 grey levels in the {len(looked_at)} galaxies "
                "looked at; nets see little of that: give brighter pictures, or the numbers as FITS or 16-bit grey PNG"
            )
        if len(cut) > TOLERATED_SHARE * len(looked_at):
            what = (
                f"{name}: {crop_in_words(crop)} of an image cuts the light of {len(cut)} of {len(looked_at)} galaxies"
            )
            warnings.append(f"{what} looked at (first {cut['image_id'].iloc[0]} of train); {remedy}")
    return warnings


def first_by_hash(sound: pd.DataFrame, label: int, count: int = LOOKED_AT) -> pd.DataFrame:
    """The training galaxies of a class with the smallest SHA-256 of image_id, ``count`` or fewer."""
    galaxies = sound[(sound["split"] == "train") & (sound["label"] == label)]
    return galaxies.loc[galaxies["image_id"].map(hash_of).sort_values().index[:count]]


def light_is_cut(pixels: np.ndarray, center_crop: int) -> bool:
    """Whether the light of the galaxy in the middle of an image reaches the border of the crop.

    The image's central square is brought to a scale of 64 pixels across the crop. Light is what is above the sky by
    ``max(5 s, 24)`` grey levels, where the sky is the median of the darkest corner of the square and s the noise there,
    1.4826 times the median absolute deviation. The galaxy's is what is connected with the centre; neighbours that touch
    the border do not count.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
    center_crop : int
        As of `prepare_image`.

    Examples
    --------
    >>> y, x = np.mgrid[:128, :128] - 63.5
    >>> disc = np.where(np.hypot(x, y) < 40, 200, 10).astype(np.uint8)[..., None].repeat(3, axis=-1)
    >>> light_is_cut(disc, 96), light_is_cut(disc, 64)
    (False, True)
    """
    square = min(pixels.shape[:2])
    crop = min(center_crop or square, square)
    grey = prepare_image(pixels, round(SIDE * square / crop), square).mean(axis=-1)
    margin, corner = (len(grey) - SIDE) // 2, max(len(grey) // 8, 4)
    ends = slice(None, corner), slice(-corner, None)
    corners = [grey[vertical, horizontal] for vertical in ends for horizontal in ends]
    darkest = min(corners, key=np.median)
    sky = np.median(darkest)
    noise = 1.4826 * np.median(np.abs(darkest - sky))
    parts, _ = ndimage.label(grey > sky + max(SIGMAS * noise, LEAST))
    middle = len(grey) // 2
    galaxy = np.unique(parts[middle - 1 : middle + 1, middle - 1 : middle + 1])
    kept = np.isin(parts, galaxy[galaxy > 0])[margin : margin + SIDE, margin : margin + SIDE]
    return bool(kept[[0, -1]].any() or kept[:, [0, -1]].any())
