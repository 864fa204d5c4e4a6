"""Galaxies read from Parquet files, on the Hub or on disk, as they are needed.

A stream of `datasets` only runs forward: after an interruption it reads again what was seen, and its shuffle buffer is
lost. Here each position in the stream is a galaxy whose row group is read on demand. So the order depends only on the
seed, a resumed run begins where it stopped, and each process reads its own part.
"""

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm.auto import tqdm

from .arrays import GalaxyArrays, GalaxyList, jpeg_round_trip
from .command_line import UserError
from .crop import prepare_image
from .images import decode
from .parquet_rows import ParquetRows
from .votes import VOTE_COLUMNS

LANES = 8
"""Parts of the data that positions alternate between; up to this many processes never read the same part."""
WINDOW = 1024
"""Each lane is shuffled within windows of this many rows, in addition to the order of its row groups."""
COLUMNS = ["image", "label", "image_id"]


class Galaxy(NamedTuple):
    """A galaxy as it comes from a stream.

    Attributes
    ----------
    image : ndarray of uint8, shape (H, W, 3)
    label : int
        -1 where it has no class.
    image_id, sha256 : str
    votes : ndarray of float32, shape (37,), or None
        NaN where a fraction is missing; None where the source lacks some columns.
    """

    image: np.ndarray
    label: int
    image_id: str
    sha256: str
    votes: np.ndarray | None = None


class GalaxyStream(GalaxyList):
    """Galaxies of one split, read and prepared as they are needed, with the attributes and methods of `GalaxyList`.

    Parameters
    ----------
    rows : ParquetRows
        The split's images, labels, ids and, where ``has_votes``, votes.
    galaxies : DataFrame
        Their image_id, label and sha256, as listed by `streaming.open_stream`.
    class_names : tuple of str
    has_votes : bool
    resolution, jpeg
        As in `load_arrays`.
    center_crop : int
        As in `GalaxyArrays`.

    Attributes
    ----------
    labels, image_ids, digests, class_names, center_crop
        As in `GalaxyList`, known without reading images; digests are empty where the dataset does not list them.
    """

    def __init__(
        self,
        rows: ParquetRows,
        galaxies: pd.DataFrame,
        class_names: tuple[str, ...],
        has_votes: bool,
        resolution: int,
        center_crop: int,
        jpeg: bool,
    ):
        self.rows, self.class_names, self.has_votes = rows, class_names, has_votes
        self.resolution, self.center_crop, self.jpeg = resolution, center_crop, jpeg
        self.labels = galaxies["label"].to_numpy(np.int64)
        self.image_ids, self.digests = galaxies["image_id"].tolist(), galaxies["sha256"].tolist()
        self.sha256_of = dict(zip(self.image_ids, self.digests, strict=True))
        self.starts = tuple(rows.starts.tolist())
        self._begin()

    def _begin(self) -> None:
        self.tables: dict[int, Future[pa.Table]] = {}  # the row groups used last
        self.readers, self.preparers = ThreadPoolExecutor(8), ThreadPoolExecutor(os.cpu_count())

    def __getstate__(self) -> dict[str, Any]:
        """State for another process: without the threads and what they have read."""
        return {k: v for k, v in vars(self).items() if k not in ("tables", "readers", "preparers")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def votes(self) -> np.ndarray | None:
        """Vote fractions of all galaxies, as in `GalaxyArrays`; no image is read for them."""
        if not self.has_votes:
            return None
        tables = [self.rows.read(g, ["image_id", *VOTE_COLUMNS]).to_pandas() for g in range(len(self.rows.groups))]
        return pd.concat(tables).set_index("image_id").loc[self.image_ids].to_numpy(np.float32)

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """The row at each position of an epoch, shape (N,): every row once."""
        return shuffled_rows(self.starts, seed, epoch)

    def submit(self, position: int, seed: int) -> Future[Galaxy]:
        """Begin to read and prepare the galaxy at a position, counted over all epochs, of the shuffled stream."""
        epoch, place = divmod(position, len(self))
        return self._submit(int(self.order(seed, epoch)[place]))

    def to_arrays(self) -> GalaxyArrays:
        """The whole split in memory, in the order of the files: what `load_arrays` gives."""
        futures = [self._submit(row) for row in range(len(self))]
        name = f"read {self.resolution} px"
        galaxies = [future.result() for future in tqdm(futures, desc=name, unit="image", disable=not futures)]
        images = np.zeros((len(galaxies), self.resolution, self.resolution, 3), np.uint8)
        for i, galaxy in enumerate(galaxies):
            images[i] = galaxy.image
        labels = np.array([galaxy.label for galaxy in galaxies], np.int64)
        votes = None
        if self.has_votes:
            votes = np.array([galaxy.votes for galaxy in galaxies], np.float32).reshape(-1, len(VOTE_COLUMNS))
        return GalaxyArrays(
            images,
            labels,
            [galaxy.image_id for galaxy in galaxies],
            [galaxy.sha256 for galaxy in galaxies],
            self.class_names,
            votes=votes,
            center_crop=self.center_crop,
        )

    def group(self, number: int) -> Future[pa.Table]:
        """A row group that is being read."""
        columns = [*COLUMNS, *(VOTE_COLUMNS if self.has_votes else ())]
        table = self.tables.pop(number, None) or self.readers.submit(self.rows.read, number, columns)
        self.tables[number] = table
        if len(self.tables) > LANES * (2 + WINDOW * len(self.rows.groups) // len(self)):
            del self.tables[next(iter(self.tables))]
        return table

    def _submit(self, row: int) -> Future[Galaxy]:
        group, place = self.rows.locate(row)
        return self.preparers.submit(self._prepare, self.group(group), place)

    def _prepare(self, group: Future[pa.Table], place: int) -> Galaxy:
        table = group.result()
        image, label, image_id = (table[column][place].as_py() for column in COLUMNS)
        digest = hashlib.sha256(image["bytes"]).hexdigest()
        if self.sha256_of.get(image_id) not in ("", digest):
            raise UserError(
                f"galaxy {image_id}: splits.csv does not list it in this split, or lists another sha256; build the "
                "dataset anew and push it again"
            )
        try:
            prepared = prepare_image(decode(image["bytes"]), self.resolution, self.center_crop)
        except OSError as error:
            raise UserError(f"image {image_id}: cannot be decoded ({error}); remove it and build again") from None
        prepared = jpeg_round_trip(prepared) if self.jpeg else prepared
        votes = [table[column][place].as_py() for column in VOTE_COLUMNS] if self.has_votes else None
        return Galaxy(
            prepared,
            -1 if label is None else label,
            image_id,
            digest,
            None if votes is None else np.array(votes, np.float32),
        )


@lru_cache(maxsize=4)
def shuffled_rows(starts: tuple[int, ...], seed: int, epoch: int) -> np.ndarray:
    """The row at each position of an epoch, shape (N,).

    Row groups come in a random order, cut into `LANES` equal parts, each of which is shuffled window by window.
    Position i is in lane i modulo `LANES`: a process that takes every second, fourth or eighth position reads only its
    part.

    Parameters
    ----------
    starts : tuple of int
        As `ParquetRows.starts`.
    seed, epoch : int
    """
    rng = np.random.default_rng([seed, epoch])
    groups = rng.permutation(len(starts) - 1)
    rows = np.concatenate([np.arange(starts[group], starts[group + 1]) for group in groups])
    order = np.empty_like(rows)
    for lane, part in enumerate(np.array_split(rows, LANES)):
        # The windows of the lanes begin at different places, so that they are not all fetched at once.
        for start in range(-lane * WINDOW // LANES, len(part), WINDOW):
            rng.shuffle(part[max(0, start) : start + WINDOW])
        order[lane::LANES] = part
    return order
