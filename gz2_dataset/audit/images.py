"""Decodes every image of a built dataset once: is it sound, how large is it, and does another show the same sky?"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from gz2_dataset.command_line import UserError
from gz2_dataset.images import decode, header_of, problem_of
from gz2_dataset.near_duplicates import SIDE, signature
from gz2_dataset.parallel import in_threads
from gz2_dataset.parquet_rows import ParquetRows, shard_files
from gz2_dataset.repeats import groups_of, same_bytes, same_sky
from gz2_dataset.splits import HELD_OUT, SPLITS
from gz2_dataset.votes import VOTE_COLUMNS

SMALLEST_SIDE = 64
BLANK_SHARE = 1 / 16
LOOKS = ("sha256", "width", "height", "blank", "problem")


@dataclass(frozen=True)
class Duplicates:
    """Images that show the same sky.

    Attributes
    ----------
    kind : str
        ``exact`` if their files are equal, ``near`` if only the piece of sky is the same.
    rows : tuple of int
        Of the table of `examine`.
    across : bool
        Whether they include a held-out galaxy and one of another split.
    contradictory : bool
        Whether they have different classes.
    """

    kind: str
    rows: tuple[int, ...]
    across: bool
    contradictory: bool


class BuiltRows:
    """The galaxies of a built dataset, one row group at a time.

    Parameters
    ----------
    folder : Path
        A folder that `build` wrote.
    """

    def __init__(self, folder: Path):
        files = {split: shard_files(folder, split) for split in SPLITS}
        self.parts = [(split, ParquetRows(paths)) for split, paths in files.items() if paths]
        if not self.parts:
            raise UserError(f"{folder}: holds no Parquet files; build it again")

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self.parts)

    def groups(self) -> Iterator[tuple[str, dict[str, list]]]:
        """Split and columns of each row group."""
        for split, rows in self.parts:
            columns = [name for name in ("image", "image_id", "label", *VOTE_COLUMNS) if name in rows.schema.names]
            for group in range(len(rows.groups)):
                yield split, rows.read(group, columns).to_pydict()

    def image(self, row: int) -> bytes:
        """The image file of a row, numbered as in `examine`."""
        for _, rows in self.parts:
            if row < len(rows):
                group, place = rows.locate(row)
                return (rows.read(group, ["image"])["image"][place].as_py() or {}).get("bytes") or b""
            row -= len(rows)
        raise IndexError(row)

    def pixels(self, row: int) -> np.ndarray:
        """The pixels of the image of a row, uint8 (H, W, 3); one black pixel where a file breaks off inside."""
        try:
            return decode(self.image(row))
        except OSError:
            return np.zeros((1, 1, 3), np.uint8)


def examine(rows: BuiltRows) -> tuple[pd.DataFrame, np.ndarray]:
    """Look at every image.

    Returns
    -------
    table : DataFrame
        Columns split, image_id, label (-1 for none), sha256, width, height, blank (share of rows or columns of pixels
        that are plain), problem (empty for a sound image) and the vote columns; one row per galaxy.
    signatures : ndarray of int8, shape (N, 64, 64)
        Of `near_duplicates`; zeros where there is a problem.
    """
    signatures = np.zeros((len(rows), SIDE, SIDE), np.int8)
    parts, start = [], 0
    with tqdm(total=len(rows), desc="audit", unit="image") as bar:
        for split, columns in rows.groups():
            contents = [(image or {}).get("bytes") or b"" for image in columns.pop("image")]
            images = zip(contents, signatures[start : start + len(contents)], strict=True)
            looks = in_threads(lambda image: look(*image), list(images))
            columns["label"] = [-1 if label is None else label for label in columns["label"]]
            found = dict(zip(LOOKS, zip(*looks, strict=True), strict=True))
            parts.append(pd.DataFrame({"split": split, **columns, **found}))
            start += len(contents)
            bar.update(len(contents))
    return pd.concat(parts, ignore_index=True), signatures


def look(content: bytes, out: np.ndarray) -> tuple[str, int, int, float, str]:
    """What `examine` says about an image; its signature is written into ``out``."""
    problem, width, height, blank = problem_of(content), 0, 0, 0.0
    if not problem:
        try:
            width, height, _ = header_of(content)
            out[:] = signature(content)
            blank = max((out == 0).all(axis).mean() for axis in (0, 1))
        except OSError:
            problem = "images that cannot be decoded"
    return hashlib.sha256(content).hexdigest(), width, height, blank, problem


def find_duplicates(table: pd.DataFrame, signatures: np.ndarray) -> list[Duplicates]:
    """Groups of images that show the same sky; those across splits first.

    Parameters
    ----------
    table, signatures
        Of `examine`.
    """
    pairs = np.concatenate([same_bytes(table["sha256"]), same_sky(signatures)])
    members = pd.Series(range(len(table))).groupby(groups_of(pairs, len(table))).agg(tuple)
    groups = []
    for rows in members[members.map(len) > 1]:
        galaxies = table.loc[list(rows)]
        splits = set(galaxies["split"])
        across = len(splits) > 1 and not splits.isdisjoint(HELD_OUT)
        kind = "exact" if galaxies["sha256"].nunique() == 1 else "near"
        groups.append(Duplicates(kind, rows, across, galaxies.loc[galaxies["label"] >= 0, "label"].nunique() > 1))
    return sorted(groups, key=lambda group: (not group.across, group.rows))


def check_images(table: pd.DataFrame, duplicates: list[Duplicates]) -> tuple[list[str], list[str]]:
    """What is wrong with the images, and what is worth knowing about them.

    Returns
    -------
    problems, warnings : list of str
    """
    problems, warnings = [], []
    for reason, images in table[table["problem"] != ""].groupby("problem"):
        problems.append(counted(reason, images))
    sound = table[table["problem"] == ""]
    sizes = Counter(zip(sound["width"], sound["height"], strict=True))
    usual = max(sizes, key=sizes.__getitem__, default=(SMALLEST_SIDE, SMALLEST_SIDE))
    odd = sound[(sound["width"] != usual[0]) | (sound["height"] != usual[1])]
    small = odd[odd[["width", "height"]].min(axis=1) < SMALLEST_SIDE]
    blank = sound[sound["blank"] >= BLANK_SHARE]
    if len(small):
        problems.append(counted(f"images smaller than {SMALLEST_SIDE} pixels", small))
    if len(odd):
        others = ", ".join(f"{w} × {h}: {n:,}" for (w, h), n in sizes.most_common(6) if (w, h) != usual)
        warnings.append(f"images that are not {usual[0]} × {usual[1]} pixels, as most are: {len(odd):,} ({others})")
    if min(usual) < SMALLEST_SIDE:
        warnings.append(f"the images are only {usual[0]} × {usual[1]} pixels")
    if len(blank):
        warnings.append(counted("images that are partly blank, like a damaged file or the edge of a survey", blank))

    for what, lines, groups in (
        ("held-out galaxies shown again in another split", problems, [d for d in duplicates if d.across]),
        ("galaxies shown more than once", warnings, [d for d in duplicates if not d.across]),
        ("galaxies shown more than once with different classes", warnings, [d for d in duplicates if d.contradictory]),
    ):
        if groups:
            exact = sum(group.kind == "exact" for group in groups)
            first = " and ".join(names(table.loc[list(groups[0].rows)].head(2)))
            copies = f"{exact:,} by equal files, {len(groups) - exact:,} turned, recompressed or resized"
            lines.append(f"{what}: {copies} (first {first})")
    return problems, warnings


def counted(what: str, galaxies: pd.DataFrame) -> str:
    """A line that says how many galaxies there are and which is the first."""
    return f"{what}: {len(galaxies):,} (first {names(galaxies)[0]})"


def names(galaxies: pd.DataFrame) -> list[str]:
    return [f"{row.image_id} of {row.split}" for row in galaxies.itertuples()]
