"""What the name of a file says: whether it is an image, which galaxy it shows, and in which band."""

import re
from collections.abc import Iterable, Sequence

FITS_SUFFIXES = tuple(f"{kind}{packed}" for packed in (".gz", ".fz", "") for kind in (".fits", ".fit", ".fts"))
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".tif", ".tiff", *FITS_SUFFIXES)
"""How the names of images end."""


def is_image(name: str) -> bool:
    """Whether a file is an image, by its name."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def stem_of(name: str) -> str:
    """The last name of a file without the ending of an image, if it has one.

    Examples
    --------
    >>> stem_of("ring/J0042.fits.gz"), stem_of("ring/7.jpg"), stem_of("7")
    ('J0042', '7', '7')
    """
    last = name.rpartition("/")[2]
    return last[: -len(next((suffix for suffix in IMAGE_SUFFIXES if last.lower().endswith(suffix)), "")) or None]


def side_by_side(names: Iterable[str], bands: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Files that hold one band each of the same image, by a name of the image without the band.

    The band is the last part of the name or of the path that is one of ``bands``; parts are separated by ``- _ . /``.

    Returns
    -------
    groups : dict of str to tuple of str
        The files of each image that has all bands, in the order of the bands.
    others : list of str
        Files that are of no band, or of an image that lacks one.

    Examples
    --------
    >>> side_by_side(["ring/7-r.fits", "ring/7-g.fits", "ring/8-g.fits"], ("g", "r"))
    ({'ring/7.fits': ('ring/7-g.fits', 'ring/7-r.fits')}, ['ring/8-g.fits'])
    """
    found: dict[str, dict[str, str]] = {}
    others = []
    for name in names:
        parts = re.split(r"([-_./])", name)
        place = max((i for i, part in enumerate(parts) if part in bands), default=None)
        if place is None or parts[place] in (group := found.setdefault(without(parts, place), {})):
            others.append(name)
        else:
            group[parts[place]] = name
    whole = {name: tuple(group[band] for band in bands) for name, group in found.items() if len(group) == len(bands)}
    others += [name for image, group in found.items() if image not in whole for name in group.values()]
    return whole, sorted(others)


def without(parts: list[str], place: int) -> str:
    """The parts of a name except one and the separator before it, or, of the first, after it."""
    return "".join(parts[: place - 1] + parts[place + 1 :] if place else parts[2:])
