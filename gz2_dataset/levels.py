"""Which stretch a dataset gets: that of an earlier build, or one by the levels of some of its images."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from gz2_dataset.sources.image_names import FITS_SUFFIXES
from gz2_dataset.sources.sources import Source

from .build_config import GalaxyZoo2Config
from .build_record import BUILD_FILE, BuildRecord
from .command_line import UserError
from .pixel_values import PixelValues, is_finished, read_values
from .splits import hash_of
from .stretch import Stretch, named, parse_bands

LOOKED_AT = 128
"""Images whose levels decide."""
SIGMAS_BELOW, SIGMAS_LINEAR = 2.0, 3.0
"""Black is so many times the noise below the sky; and so far above black the scale is nearly linear."""
BRIGHT_PIXELS, BRIGHT_IMAGES = 99.9, 90.0
"""White is what this percentage of the pixels do not reach in this percentage of the images."""


def earlier_stretch(config: GalaxyZoo2Config) -> Stretch | None:
    """The stretch of an earlier build, unless the configuration asks for another."""
    record = Path(config.split_file).with_name(BUILD_FILE) if config.split_file else None
    stretch = BuildRecord.read(record.parent).stretch if record and record.exists() else None
    others = stretch and (
        config.stretch not in (None, stretch.name) or config.bands not in (None, ",".join(stretch.bands))
    )
    return None if others else stretch


def stretch_for(config: GalaxyZoo2Config, source: Source) -> Stretch | None:
    """That of an earlier build, or one by the levels of the images with the smallest SHA-256 of image_id.

    Raises
    ------
    UserError
        If it was asked for and no file needs one, or none can be read.
    """
    if earlier := earlier_stretch(config):
        return earlier
    deep = source.table["file"].str.lower().str.endswith((".png", ".tif", ".tiff", *FITS_SUFFIXES))
    rows = source.table[deep | (source.kind == "hub")]
    rows = rows.loc[rows["image_id"].map(hash_of).sort_values().index[:LOOKED_AT]]

    def contents() -> Iterator[bytes]:
        for file in rows["file"]:
            with contextlib.suppress(OSError):
                yield source.read(file)

    try:
        found = choose_stretch(contents(), config.stretch, parse_bands(config.bands))
    except UserError as error:
        raise UserError(f"{config.data_dir}: {error}") from None
    if found is None and (config.stretch or config.bands):
        raise UserError(
            f"{config.data_dir}: all images are finished pictures of 8 bits; leave --stretch and --bands out"
        )
    return found


def choose_stretch(contents: Iterable[bytes], name: str | None = None, bands: tuple[str, ...] = ()) -> Stretch | None:
    """A stretch for a dataset, by the levels of some of its images.

    Parameters
    ----------
    contents : iterable of bytes
        Image files.
    name : str, optional
        One of `STRETCHES`; by default ``asinh``, but ``linear`` from 0 to the largest number of so many bits where all
        that is not finished are TIFF or PNG pictures of whole numbers.
    bands : tuple of str
        By default the plane or the three planes that most images have.

    Returns
    -------
    Stretch, or None if all files are finished pictures.

    Raises
    ------
    UserError
        If none of the files can be read.
    """
    found: list[PixelValues] = []
    problem = ""
    planes = () if named(bands) else tuple(map(int, bands))
    for content in contents:
        try:
            if not is_finished(content) and (values := read_values(content, planes)).planes.dtype != np.uint8:
                found.append(values)
        except OSError as error:
            problem = problem or str(error)
    if not found:
        if problem:
            raise UserError(f"no image can be used; the first: {problem}")
        return None
    count = Counter(values.count for values in found).most_common(1)[0][0]
    found = [values for values in found if values.count == count]
    bands = bands or tuple(map(str, range(count)))
    if name == "zscale":
        return Stretch(name, bands, count)
    if name is None and all(values.is_integer and values.header is None for values in found):
        brightest = max(np.max(values.planes, initial=0) for values in found)
        white = float(2 ** max(int(brightest), 1).bit_length() - 1)
        return Stretch("linear", bands, count, (0.0,), (white,))
    levels = [measured(values.planes) for values in found]
    levels = np.array([level for level in levels if np.isfinite(level).all()])
    if not len(levels):
        raise UserError("no image can be stretched: all are empty (NaN)")
    sky, noise = np.median(levels[:, :2], axis=0)
    low = sky - SIGMAS_BELOW * noise
    high = np.percentile(levels[:, 2], BRIGHT_IMAGES, axis=0)
    high = np.where(high > low, high, low + 1)
    softening = float(np.clip((SIGMAS_LINEAR * noise / (high - low)).mean(), 1e-4, 1))
    return Stretch(name or "asinh", bands, count, tuple(low.tolist()), tuple(high.tolist()), softening)


def measured(planes: np.ndarray) -> np.ndarray:
    """Sky, noise and brightest level of each band, shape (3, bands); NaN where a band has no numbers.

    The sky is the median of the darkest corner, the noise the scatter of the differences of neighbours: neither minds a
    galaxy that fills the image.
    """
    side = max(min(planes.shape[1:]) // 8, 1)
    ends = slice(None, side), slice(-side, None)
    finite = np.where(np.isfinite(planes), planes, np.nan).astype(np.float64)
    corners = [finite[:, vertical, horizontal] for vertical in ends for horizontal in ends]
    steps = np.diff(finite, axis=2)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bands and corners without a number
        sky = np.nanmin([np.nanmedian(corner, axis=(1, 2)) for corner in corners], axis=0)
        noise = 1.4826 * np.nanmedian(np.abs(steps), axis=(1, 2)) / np.sqrt(2)
        return np.stack([sky, noise, np.nanpercentile(finite, BRIGHT_PIXELS, axis=(1, 2))])
