"""Rows of Parquet files, on disk or on the Hub, read one row group at a time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from huggingface_hub.errors import HTTPError

from .command_line import UserError

SHARD_FOLDER = "data"
SHARDS = f"{SHARD_FOLDER}/{{split}}*.parquet"
"""Pattern of the files of a split in the folder of a built dataset."""


def shard_files(folder: Path, split: str) -> list[str]:
    """The Parquet files of a split of a built dataset, in order; empty if it has no such split."""
    return sorted(map(str, folder.glob(SHARDS.format(split=split))))


class ParquetRows:
    """Rows of several Parquet files, numbered one file after another.

    Only the footers are read immediately. A row group, which is a hundred galaxies as `datasets` writes it, is one
    request of one to two megabytes.

    Parameters
    ----------
    files : sequence of str
        Paths or URLs that fsspec opens, such as ``hf://datasets/USER/NAME/data/train.parquet``.

    Attributes
    ----------
    starts : ndarray of int64, shape (row groups + 1,)
        Number of the first row of each row group, and of all rows.
    """

    def __init__(self, files: Sequence[str]):
        self.files = [(*fsspec.core.url_to_fs(file), file) for file in files]
        with ThreadPoolExecutor(8) as pool:
            self.footers = list(pool.map(self._footer, range(len(files))))
        self.groups = [(file, i) for file, footer in enumerate(self.footers) for i in range(footer.num_row_groups)]
        sizes = [self.footers[file].row_group(i).num_rows for file, i in self.groups]
        self.starts = np.cumsum([0, *sizes], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def schema(self) -> pa.Schema:
        return self.footers[0].schema.to_arrow_schema()

    def locate(self, row: int) -> tuple[int, int]:
        """The row group of a row, and its place in it."""
        group = int(np.searchsorted(self.starts, row, side="right")) - 1
        return group, row - int(self.starts[group])

    def read(self, group: int, columns: list[str]) -> pa.Table:
        """Some columns of a row group; safe to call from several threads.

        Raises
        ------
        UserError
            If the file cannot be read.
        """
        file, index = self.groups[group]
        with self._opened(file, self.footers[file]) as parquet:
            return parquet.read_row_group(index, columns)

    def _footer(self, file: int) -> pq.FileMetaData:
        with self._opened(file) as parquet:
            return parquet.metadata

    @contextmanager
    def _opened(self, file: int, footer: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
        filesystem, path, name = self.files[file]
        try:
            # No cache: fsspec's would fetch megabytes around a small read. pre_buffer joins neighbouring columns. On
            # disk Arrow opens the file itself: its threads outlive a read, and one that still holds a buffer of Python
            # while the interpreter ends aborts the process.
            local = isinstance(filesystem, LocalFileSystem)
            opened = pa.OSFile(path) if local else filesystem.open(path, "rb", cache_type="none")
            with opened as source, pq.ParquetFile(source, metadata=footer, pre_buffer=True) as parquet:
                yield parquet
        except (OSError, HTTPError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{name}: cannot be read ({reason}); run the same command again to continue") from None
