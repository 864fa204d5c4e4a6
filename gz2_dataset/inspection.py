"""Looks at every image of a source before the split: is it sound, and does another show the same sky?"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from gz2_dataset.sources.sources import Source

from .aside import written_aside
from .images import UNKNOWN, header_of, problem_of
from .near_duplicates import SIDE, signature
from .parallel import in_threads
from .pixel_values import Unexpected, is_finished, position_of, read_values
from .stretch import FINISHED, Stretch, png_of

IMAGES_A_PART = 4096
LOOKS = ("sha256", "size", "problem", "width", "height", "stretched", "empty", "saturated", "ra", "dec")
NOTHING_KNOWN = (False, 0, 0, np.nan, np.nan)
"""Of a finished picture: not stretched, no pixel empty or saturated, no position."""
BLANK = np.zeros((SIDE, SIDE), np.int8)


def inspect(
    source: Source, look_for_near: bool, stretch: Stretch | None = None, folder: Path | None = None
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Read every image once.

    Parameters
    ----------
    source : Source
    look_for_near : bool
        Also decode each image for its signature.
    stretch : Stretch, optional
        Of the files that are not finished pictures.
    folder : Path, optional
        Where finished parts are kept, so that an interrupted inspection can continue.

    Returns
    -------
    table : DataFrame
        Columns sha256 and size in bytes of the image as it is stored, problem (empty for a sound image), width and
        height (0 where there is a problem), stretched (whether it was), empty and saturated (pixels without a number,
        and beyond what the detector counts), ra and dec in degrees (NaN where the file does not say); one row for each
        row of ``source.table``.
    signatures : ndarray, shape (N, ...), or None
        Of `near_duplicates`; meaningless where there is a problem.
    """

    def look(file: str) -> tuple:
        facts, signed = NOTHING_KNOWN, BLANK
        try:
            content = source.read(file)
        except OSError as error:
            problem = str(error) if isinstance(error, Unexpected) else "images that are damaged or larger than 64 MB"
            return "", 0, problem, 0, 0, *facts, BLANK
        try:
            content, facts = developed(content, stretch)
        except OSError as error:
            return hashlib.sha256(content).hexdigest(), len(content), str(error), 0, 0, *facts, BLANK
        problem, width, height = problem_of(content), 0, 0
        if problem == UNKNOWN:
            problem = "files that are not JPEG, PNG, TIFF or FITS"
        if not problem:
            width, height, _ = header_of(content)
        if look_for_near and not problem:
            try:
                signed = signature(content)
            except OSError:
                problem = "images that cannot be decoded"
        return hashlib.sha256(content).hexdigest(), len(content), problem, width, height, *facts, signed

    names, parts = source.table["file"].tolist(), []
    with tqdm(total=len(names), desc="check images", unit="image") as bar:
        for start in range(0, len(names), IMAGES_A_PART):
            path = folder / f"{start:09d}.npz" if folder else None
            if path and path.exists():
                part = dict(np.load(path))
            else:
                part = as_arrays(in_threads(look, names[start : start + IMAGES_A_PART]), look_for_near)
                if path:
                    with written_aside(path) as aside:
                        np.savez(aside, **part)  # pyright: ignore[reportArgumentType]
            parts.append(part)
            bar.update(len(part["sha256"]))
    whole = {key: np.concatenate([part.pop(key) for part in parts]) for key in list(parts[0])}
    signatures = whole.pop("signature", None)
    return pd.DataFrame(whole), signatures


def developed(content: bytes, stretch: Stretch | None) -> tuple[bytes, tuple[bool, int, int, float, float]]:
    """A file as it is stored, whether it was stretched, how many pixels are empty and saturated, and where it is.

    Raises
    ------
    OSError
        If it cannot be read, or has no number at all.
    """
    if is_finished(content):
        return content, NOTHING_KNOWN
    values = read_values(content, stretch.planes if stretch else ())
    empty, saturated = (int(of(values.planes).any(axis=0).sum()) for of in (np.isnan, np.isposinf))
    if empty == values.planes[0].size:
        raise OSError("images without a number (NaN)")
    picture = (stretch or FINISHED).picture(values)
    return png_of(picture), (values.planes.dtype != np.uint8, empty, saturated, *position_of(values))


def as_arrays(rows: Iterable[tuple], with_signatures: bool) -> dict[str, np.ndarray]:
    *columns, signed = zip(*rows, strict=True)
    arrays = {name: np.array(column) for name, column in zip(LOOKS, columns, strict=True)}
    return arrays | ({"signature": np.stack(signed)} if with_signatures else {})
