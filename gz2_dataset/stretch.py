"""From the numbers in a survey's files to pictures of 8 bits, by one stretch for the whole dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from astropy.visualization import AsinhStretch, LinearStretch, ManualInterval, ZScaleInterval, make_lupton_rgb
from PIL import Image

from .command_line import UserError
from .images import decode, problem_of
from .pixel_values import PixelValues, is_finished, read_values

STRETCHES = ("asinh", "lupton", "zscale", "linear")


@dataclass(frozen=True)
class Stretch:
    """How numbers become grey levels.

    Attributes
    ----------
    name : {"asinh", "lupton", "zscale", "linear"}
        Of `astropy.visualization`. ``lupton`` keeps the colours of bright pixels (Lupton et al. 2004); ``zscale`` takes
        each band's limits from each image, the others are the same for all images, so that brighter galaxies look
        brighter.
    bands : tuple of str
        From blue to red, three or one: numbers of planes in a FITS cube, or names of bands that are files side by side.
        The last is shown red, the first blue; a single one is shown grey.
    count : int
        Planes that each image has.
    low, high : tuple of float
        What is black and what is white in each band; not for ``zscale``.
    softening : float
        For ``asinh`` and ``lupton``: where the scale turns from linear to logarithmic, as a share of high - low.

    Examples
    --------
    >>> stretch = Stretch("linear", ("0",), 1, (0.0,), (100.0,))
    >>> stretch.picture(PixelValues(np.array([[[0, 50], [np.nan, np.inf]]])))[..., 0]
    array([[  0, 128],
           [  0, 255]], dtype=uint8)
    """

    name: str
    bands: tuple[str, ...]
    count: int
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    softening: float = 1.0

    @classmethod
    def from_record(cls, record: dict[str, Any] | None) -> "Stretch | None":
        """As `asdict` and JSON have written it."""
        if record is None:
            return None
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in record.items()}
        return cls(**values)

    @property
    def planes(self) -> tuple[int, ...]:
        """The planes of a FITS cube that are read, counted from 0."""
        return tuple(range(len(self.bands))) if self.files_side_by_side else tuple(map(int, self.bands))

    @property
    def files_side_by_side(self) -> tuple[str, ...]:
        """The bands that are files of their own; empty where the bands are planes of one file."""
        return self.bands if named(self.bands) else ()

    @property
    def in_words(self) -> str:
        """For people."""
        bands = ", ".join(self.bands) if named(self.bands) else f"planes {', '.join(self.bands)}"
        limits = "limits from each image" if self.name == "zscale" else f"black {say(self.low)}, white {say(self.high)}"
        return f"{self.name} of {bands} ({limits})"

    def picture(self, values: PixelValues) -> np.ndarray:
        """The picture, uint8 (H, W, 3): pixels without a number are as dark as can be, saturated ones white."""
        planes = values.planes
        if planes.dtype == np.uint8:
            return np.ascontiguousarray(planes.transpose(1, 2, 0))
        if values.count != self.count:
            raise OSError(f"images of {values.count} planes, where most have {self.count}")
        saturated = np.isposinf(planes)
        if self.name == "zscale":
            levels = np.stack([by_zscale(plane) for plane in planes])
        else:
            low, high = (np.array(limit, np.float64)[:, None, None] for limit in (self.low, self.high))
            with np.errstate(invalid="ignore"):  # of a NaN that signals
                levels = np.nan_to_num((planes - low) / (high - low), nan=0.0, posinf=1.0)
        if self.name == "asinh":
            levels = AsinhStretch(self.softening)(levels)
        if self.name == "lupton":
            # Q so that the scale is linear up to `softening` and white is at 1
            q = 10 * np.sinh(np.arcsinh(1 / self.softening) / 10)
            blue, green, red = levels if len(levels) == 3 else levels[[0, 0, 0]]
            with np.errstate(divide="ignore", invalid="ignore"):  # of black pixels
                picture = make_lupton_rgb(red, green, blue, stretch=q * self.softening, Q=q)
        else:
            picture = np.moveaxis(LinearStretch()(levels)[::-1], 0, -1)
            picture = (255 * picture).round().astype(np.uint8)
        picture = np.broadcast_to(picture, (*picture.shape[:2], 3)).copy()
        picture[saturated.any(axis=0)] = 255
        return picture


def by_zscale(plane: np.ndarray) -> np.ndarray:
    """A band between the limits that the zscale algorithm finds in it."""
    finite = plane[np.isfinite(plane)]
    low, high = ZScaleInterval().get_limits(finite) if finite.size else (0.0, 0.0)
    levels = ManualInterval(low, high if high > low else low + 1)(np.nan_to_num(plane, nan=low, posinf=high))
    return levels.astype(np.float64)


def say(limits: Sequence[float]) -> str:
    return " / ".join(f"{limit:.4g}" for limit in limits)


def parse_bands(text: str | None) -> tuple[str, ...]:
    """Bands as an option gives them.

    Raises
    ------
    UserError
        If they are not one or three, or planes and names are mixed.

    Examples
    --------
    >>> parse_bands("g,r,i"), parse_bands(None)
    (('g', 'r', 'i'), ())
    """
    bands = tuple(band.strip() for band in text.split(",")) if text else ()
    if len(bands) not in (0, 1, 3) or not all(bands) or len({band.isdecimal() for band in bands}) > 1:
        raise UserError(f"bands {text!r}: give one or three, from blue to red: planes such as 0,1,2, or files g,r,i")
    return bands


def named(bands: Sequence[str]) -> bool:
    """Whether bands are named, and so files side by side, not planes."""
    return bool(bands) and not bands[0].isdecimal()


def pixels_of(content: bytes, stretch: Stretch | None) -> np.ndarray:
    """The pixels of any image file as a dataset of this stretch has them, uint8 (H, W, 3).

    Raises
    ------
    OSError
        If it cannot be read; the text says why.
    """
    if is_finished(content):
        if problem := problem_of(content):
            raise OSError(problem)
        return decode(content)
    values = read_values(content, stretch.planes if stretch else ())
    if stretch is None and values.planes.dtype != np.uint8:
        raise OSError("files that need a stretch, and none is known")
    return (stretch or FINISHED).picture(values)


FINISHED = Stretch("linear", ("0",), 1)
"""For pictures of 8 bits, which no stretch changes."""


def as_stored(content: bytes, stretch: Stretch | None) -> bytes:
    """The file that a dataset stores: as it came, or as a PNG of its picture.

    Raises
    ------
    OSError
        If it needs a picture and cannot be read.
    """
    return content if is_finished(content) else png_of(pixels_of(content, stretch))


def png_of(pixels: np.ndarray) -> bytes:
    """The PNG file of a picture (H, W, 3); grey where its channels are equal."""
    grey = (pixels == pixels[..., :1]).all()
    buffer = BytesIO()
    Image.fromarray(pixels[..., 0] if grey else pixels).save(buffer, "PNG")
    return buffer.getvalue()
