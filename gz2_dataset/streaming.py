"""Opening a dataset on the Hub without a local copy, with a check that no galaxy is in two splits."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import datasets
import fsspec
import numpy as np
import pandas as pd
from huggingface_hub.errors import HTTPError

from .build_record import BUILD_FILE, BuildRecord
from .class_names import check_class_names
from .command_line import UserError
from .crop import guessed_crop
from .galaxy_stream import COLUMNS, GalaxyStream
from .loading import class_names_of
from .parquet_rows import ParquetRows
from .splits import SPLIT_FILE, check_no_leak, check_splits
from .votes import VOTE_COLUMNS


@dataclass(frozen=True)
class OpenStream:
    """A dataset of which only names and sizes have been read.

    Attributes
    ----------
    splits : dict of ParquetRows
    class_names : tuple of str
    has_votes : bool
        Whether there are all 37 vote fractions.
    table : DataFrame
        Columns image_id, label (-1: no class), split and sha256 (of the image's bytes as stored; empty: not known).
    center_crop : int
        As in `loading.crop_of`.
    """

    splits: dict[str, ParquetRows]
    class_names: tuple[str, ...]
    has_votes: bool
    table: pd.DataFrame
    center_crop: int


@lru_cache(maxsize=4)
def open_stream(data: str) -> OpenStream:
    """Open a dataset without downloading images, and check that its splits share no galaxy.

    Parameters
    ----------
    data : str
        Id of a dataset on the Hub, or a folder that ``python -m gz2_dataset build`` wrote.

    Raises
    ------
    UserError
        If it cannot be read or is not in Parquet, or if a galaxy of another split is also in validation or test, by its
        image_id or the SHA-256 in ``splits.csv``.
    """
    try:
        builder = datasets.load_dataset_builder(data)
    except (OSError, ValueError, HTTPError, datasets.exceptions.DatasetsError) as error:
        raise UserError(f"{data}: cannot be streamed ({' '.join(str(error).split())})") from None
    files = builder.config.data_files or {}
    if not files or not all(str(file).endswith(".parquet") for part in files.values() for file in part):
        raise UserError(f"{data}: is not in Parquet, which streaming reads; build it with python -m gz2_dataset build")
    check_splits(data, set(map(str, files)))
    splits = {str(split): ParquetRows(part) for split, part in files.items()}
    features = builder.info.features or datasets.Features.from_arrow_schema(next(iter(splits.values())).schema)
    if missing := [column for column in COLUMNS if column not in features]:
        raise UserError(f"{data}: column {missing[0]} is missing; build it with python -m gz2_dataset build")
    class_names = check_class_names(class_names_of(data, features["label"]), data)
    table = listed_galaxies(f"{builder.base_path}/{SPLIT_FILE}", class_names)
    if table is None:
        print(f"note: {data} has no {SPLIT_FILE} with sha256; splits are compared by image_id only", file=sys.stderr)
        table = projected_galaxies(splits)
    check_no_leak(data, table)
    url = f"{builder.base_path}/{BUILD_FILE}"
    if (content := read_if_there(url)) is None:
        center_crop = guessed_crop(data, first_image_of(splits["train"]))
    else:
        center_crop = BuildRecord.from_json(content, url).center_crop
    return OpenStream(splits, class_names, set(VOTE_COLUMNS) <= set(features), table, center_crop)


def first_image_of(rows: ParquetRows) -> bytes:
    return rows.read(0, ["image"])["image"][0]["bytes"].as_py()


def first_streamed_image(data: str) -> bytes:
    """The file of the first training galaxy of a dataset, which `open_stream` opens."""
    return first_image_of(open_stream(data).splits["train"])


def listed_galaxies(url: str, class_names: tuple[str, ...]) -> pd.DataFrame | None:
    """The galaxies that a split file lists; None if there is none, or it has no sha256."""
    content = read_if_there(url)
    if content is None:
        return None
    try:
        table = pd.read_csv(BytesIO(content), dtype=str, keep_default_na=False)
    except ValueError as error:
        raise UserError(f"{url}: cannot be read ({' '.join(str(error).split())})") from None
    if "sha256" not in table:
        return None
    if missing := {"image_id", "galaxy_class", "split"} - set(table):
        raise UserError(f"{url}: has no column {min(missing)}; build the dataset again")
    label_of = {name: label for label, name in enumerate(class_names)} | {"": -1}
    return table.assign(label=table["galaxy_class"].map(label_of))[["image_id", "label", "split", "sha256"]]


def read_if_there(url: str) -> bytes | None:
    """The content of a file; None if there is none."""
    try:
        with fsspec.open(url, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, HTTPError) as error:
        raise UserError(f"{url}: cannot be read ({' '.join(str(error).split())})") from None


def projected_galaxies(splits: dict[str, ParquetRows]) -> pd.DataFrame:
    """The galaxies by the image_id and label columns of the Parquet files."""
    parts = []
    with ThreadPoolExecutor(16) as pool:
        for split, rows in splits.items():
            groups = pool.map(lambda group, rows=rows: rows.read(group, COLUMNS[1:]), range(len(rows.groups)))
            parts += [table.to_pandas().assign(split=split) for table in groups]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(label=table["label"].fillna(-1).astype(np.int64), sha256="")


def load_stream(data: str, split: str, resolution: int, jpeg: bool = False) -> GalaxyStream:
    """Open a split as a stream: `load_arrays` without a local copy, with the same arguments.

    Parameters
    ----------
    data : str
        As in `open_stream`.
    split : str
        An absent one gives an empty stream.
    resolution, jpeg
        As in `load_arrays`.

    Examples
    --------
    >>> stream = load_stream("USER/NAME", "train", resolution=64)  # doctest: +SKIP
    >>> stream.submit(0, seed=0).result().image.shape  # doctest: +SKIP
    (64, 64, 3)
    """
    opened = open_stream(data)
    galaxies = opened.table[opened.table["split"] == split]
    rows = opened.splits.get(split) or ParquetRows([])
    return GalaxyStream(rows, galaxies, opened.class_names, opened.has_votes, resolution, opened.center_crop, jpeg)
