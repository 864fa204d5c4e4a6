"""Every image of a built dataset decoded once: is it sound, of what size, and does another one show the same?"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm.auto import tqdm

from .command_line import UserError
from .images import problem_of
from .near_duplicates import SIDE, near_duplicates, signature
from .parquet_rows import ParquetRows
from .splits import SPLITS
from .votes import VOTE_COLUMNS

HELD_OUT = ("validation", "test")
SMALLEST_SIDE = 64


@dataclass(frozen=True)
class Duplicates:
    """Images that show the same.

    Attributes
    ----------
    kind : str
        ``exact`` if their files are equal, ``near`` if only the piece of sky is.
    rows : tuple of int
        Of the table of `examine`.
    across : bool
        Whether a held-out galaxy is among them and one of another split.
    contradictory : bool
        Whether they have different classes.
    """

    kind: str
    rows: tuple[int, ...]
    across: bool
    contradictory: bool


class BuiltRows:
    """The galaxies of a built dataset, a row group at a time.

    Parameters
    ----------
    folder : Path
        A folder that `build` wrote.
    """

    def __init__(self, folder: Path):
        files = {split: sorted(map(str, (folder / "data").glob(f"{split}-*.parquet"))) for split in SPLITS}
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
        """The image file of a row, numbered as `examine` does."""
        for _, rows in self.parts:
            if row < len(rows):
                group, place = rows.locate(row)
                return rows.read(group, ["image"])["image"][place]["bytes"].as_py()
            row -= len(rows)
        raise IndexError(row)


def examine(rows: BuiltRows) -> tuple[pd.DataFrame, np.ndarray]:
    """Look at every image.

    Returns
    -------
    table : DataFrame
        Columns split, image_id, label (-1 for none), sha256, width, height, problem (empty for a sound image) and the
        vote columns, a row a galaxy.
    signatures : ndarray of int8, shape (N, 64, 64)
        Of `near_duplicates`; zeros where there is a problem.
    """
    signatures = np.zeros((len(rows), SIDE, SIDE), np.int8)
    parts, start = [], 0
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=len(rows), desc="audit", unit="image") as bar:
        for split, columns in rows.groups():
            contents = [image["bytes"] or b"" for image in columns.pop("image")]
            places = range(start, start + len(contents))
            looks = list(pool.map(look, contents, (signatures[place] for place in places)))
            sha256, width, height, problem = zip(*looks, strict=True)
            columns["label"] = [-1 if label is None else label for label in columns["label"]]
            found = {"sha256": sha256, "width": width, "height": height, "problem": problem}
            parts.append(pd.DataFrame({"split": split, **columns, **found}))
            start += len(contents)
            bar.update(len(contents))
    return pd.concat(parts, ignore_index=True), signatures


def look(content: bytes, out: np.ndarray) -> tuple[str, int, int, str]:
    """Digest, width, height and problem of an image, whose signature is written into ``out``."""
    problem, width, height = problem_of(content), 0, 0
    if not problem:
        try:
            with Image.open(BytesIO(content)) as image:
                width, height = image.size
            out[:] = signature(content)
        except OSError as error:
            problem = f"images that cannot be decoded ({error})"
    return hashlib.sha256(content).hexdigest(), width, height, problem


def find_duplicates(table: pd.DataFrame, signatures: np.ndarray) -> list[Duplicates]:
    """Groups of images that show the same; those across splits first.

    Parameters
    ----------
    table, signatures
        Of `examine`.
    """
    row = pd.Series(np.arange(len(table)))
    first = row.groupby(table["sha256"]).transform("first")
    pairs = np.array([*zip(first[first != row], row[first != row], strict=True), *near_duplicates(signatures)])
    if not len(pairs):
        return []
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(table), len(table)))
    members = row.groupby(connected_components(links, directed=False)[1]).agg(tuple)
    groups = []
    for rows in members[members.map(len) > 1]:
        galaxies = table.loc[list(rows)]
        splits = set(galaxies["split"])
        across = len(splits) > 1 and not splits.isdisjoint(HELD_OUT)
        kind = "exact" if galaxies["sha256"].nunique() == 1 else "near"
        groups.append(Duplicates(kind, rows, across, galaxies["label"].nunique() > 1))
    return sorted(groups, key=lambda group: (not group.across, group.rows))


def check_images(table: pd.DataFrame, duplicates: list[Duplicates]) -> tuple[list[str], list[str]]:
    """What is wrong with the images, and what is worth knowing about them.

    Returns
    -------
    problems, warnings : list of str
    """
    problems, warnings = [], []
    for reason, images in table[table["problem"] != ""].groupby("problem"):
        problems.append(f"{len(images):,} {reason}; {first_of(images)}")
    sound = table[table["problem"] == ""]
    sizes = Counter(zip(sound["width"], sound["height"], strict=True))
    usual = max(sizes, key=sizes.get, default=(SMALLEST_SIDE, SMALLEST_SIDE))
    odd = sound[(sound["width"] != usual[0]) | (sound["height"] != usual[1])]
    small = odd[odd[["width", "height"]].min(axis=1) < SMALLEST_SIDE]
    if len(small):
        problems.append(f"{len(small):,} images are smaller than {SMALLEST_SIDE} pixels; {first_of(small)}")
    if len(odd):
        others = [f"{w} × {h} ({n:,})" for (w, h), n in sizes.most_common(6) if (w, h) != usual]
        listed = ", ".join(others) + (", …" if len(sizes) > 6 else "")
        warnings.append(f"{len(odd):,} images are not of {usual[0]} × {usual[1]} pixels as most are: {listed}")
    if min(usual) < SMALLEST_SIDE:
        warnings.append(f"the images have only {usual[0]} × {usual[1]} pixels")
    for across, lines in ((True, problems), (False, warnings)):
        groups = [group for group in duplicates if group.across == across]
        if groups:
            exact = sum(group.kind == "exact" for group in groups)
            where = "held-out galaxies are shown again in another split" if across else "galaxies are shown repeatedly"
            lines.append(
                f"{len(groups):,} {where} ({exact:,} by equal files, {len(groups) - exact:,} turned, recompressed or "
                f"resized); {first_of(table.loc[list(groups[0].rows)], 2)}"
            )
    if contradictory := sum(group.contradictory for group in duplicates):
        warnings.append(f"{contradictory:,} galaxies that are shown repeatedly have different classes")
    return problems, warnings


def first_of(galaxies: pd.DataFrame, number: int = 1) -> str:
    """The first galaxies by split and id."""
    names = [f"{row.image_id} of {row.split}" for row in galaxies.head(number).itertuples()]
    return "first " + " and ".join(names)
