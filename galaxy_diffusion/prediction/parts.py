"""The raw results of a long run in parts on disk, each whole or absent, so that a run goes on where it stopped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gz2_dataset.aside import written_aside

IMAGES_A_PART = 4096


@dataclass(frozen=True)
class Part:
    """What the nets said about some rows of a survey.

    Attributes
    ----------
    logits : ndarray of float32, shape (members, n, classes)
        Of the n images that could be read.
    features : sequence of ndarray of float32, shapes (n, D)
        Of each member; empty if they are not wanted.
    problems : ndarray of str, shape (rows,)
        What is wrong with each row's file; empty where it could be read.
    """

    logits: np.ndarray
    features: Sequence[np.ndarray]
    problems: np.ndarray

    @property
    def readable(self) -> np.ndarray:
        """Rows of the images that logits and features are of, bool (rows,)."""
        return self.problems == ""


class Parts:
    """A folder of parts.

    Parameters
    ----------
    folder : Path
    rows : int
        Of the survey.
    """

    def __init__(self, folder: Path, rows: int):
        self.folder = folder
        starts = range(0, rows, IMAGES_A_PART)
        self.ranges = [range(start, min(start + IMAGES_A_PART, rows)) for start in starts]

    def file(self, rows: range) -> Path:
        return self.folder / f"{rows.start:012d}-{rows.stop:012d}.npz"

    def missing(self) -> list[range]:
        """Rows of the parts that are yet to be computed."""
        return [rows for rows in self.ranges if not self.file(rows).exists()]

    def save(self, rows: range, part: Part) -> None:
        features = {f"features_{i}": values for i, values in enumerate(part.features)}
        with written_aside(self.file(rows)) as aside:
            np.savez(aside, logits=part.logits, problems=part.problems, **features)  # pyright: ignore[reportArgumentType]

    def __iter__(self) -> Iterator[tuple[range, Part]]:
        """All parts in order, one in memory at a time."""
        for rows in self.ranges:
            with np.load(self.file(rows)) as saved:
                features = [saved[f"features_{i}"] for i in range(len(saved.files) - 2)]
                yield rows, Part(saved["logits"], features, saved["problems"])


def joined(pieces: Sequence[Part]) -> Part:
    """One part of the results of several batches."""
    return Part(
        np.concatenate([piece.logits for piece in pieces], axis=1),
        [np.concatenate(values) for values in zip(*(piece.features for piece in pieces), strict=True)],
        np.concatenate([piece.problems for piece in pieces]),
    )
