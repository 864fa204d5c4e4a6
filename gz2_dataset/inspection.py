"""Looks at every image of a source before the split: is it sound, and does another show the same sky?"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from gz2_dataset.sources.sources import Source

from .aside import written_aside
from .images import header_of, problem_of
from .near_duplicates import SIDE, signature
from .parallel import in_threads

IMAGES_A_PART = 4096
LOOKS = ("sha256", "size", "problem", "width", "height")
BLANK = np.zeros((SIDE, SIDE), np.int8)


def inspect(source: Source, look_for_near: bool, folder: Path | None = None) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Read every image once.

    Parameters
    ----------
    source : Source
    look_for_near : bool
        Also decode each image for its signature.
    folder : Path, optional
        Where finished parts are kept, so that an interrupted inspection can continue.

    Returns
    -------
    table : DataFrame
        Columns sha256, size (bytes), problem (empty for a sound image), width and height (0 where there is a problem),
        one row for each row of ``source.table``.
    signatures : ndarray, shape (N, ...), or None
        Of `near_duplicates`; meaningless where there is a problem.
    """

    def look(file: str) -> tuple[str, int, str, int, int, np.ndarray]:
        try:
            content = source.read(file)
        except OSError:
            return "", 0, "images that are damaged or larger than 64 MB", 0, 0, BLANK
        problem, width, height, signed = problem_of(content), 0, 0, BLANK
        if not problem:
            width, height, _ = header_of(content)
        if look_for_near and not problem:
            try:
                signed = signature(content)
            except OSError:
                problem = "images that cannot be decoded"
        return hashlib.sha256(content).hexdigest(), len(content), problem, width, height, signed

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


def as_arrays(rows: Iterable[tuple], with_signatures: bool) -> dict[str, np.ndarray]:
    *columns, signed = zip(*rows, strict=True)
    arrays = {name: np.array(column) for name, column in zip(LOOKS, columns, strict=True)}
    return arrays | ({"signature": np.stack(signed)} if with_signatures else {})
