"""A dataset in Parquet, on the Hub or in a folder, as a source: its column names mapped to those of this package."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gz2_dataset.command_line import UserError
from gz2_dataset.images import encoded_bytes
from gz2_dataset.sources.files import Files
from gz2_dataset.sources.found import Found, Kind
from gz2_dataset.sources.image_folder import SPLIT_NAMES
from gz2_dataset.votes import VOTE_COLUMNS, VOTES, clean_votes

ID_COLUMNS = ("image_id", "id_str", "GalaxyID", "galaxy_id", "dr7objid", "objid", "id")
LABEL_COLUMNS = ("label", "galaxy_class", "labels")


class Columns(NamedTuple):
    """Which columns of which version of a dataset are meant; None is for customary names, and the newest version."""

    image: str = "image"
    label: str | None = None
    image_id: str | None = None
    revision: str | None = None


CUSTOMARY = Columns()


def has_images(files: Files, column: str = "image") -> bool:
    """Whether a folder has Parquet files with a column of images; catalogues of other columns are none."""
    first = next((name for name in files.names if name.endswith(".parquet")), None) if files.root.is_dir() else None
    try:
        return first is not None and column in pq.read_schema(files.root / first).names
    except (OSError, pa.ArrowInvalid):
        return True  # so that the damaged file is named


def read_hub(data: str, wanted: Columns = CUSTOMARY) -> tuple[Found, Callable[[str], bytes], str]:
    """Read all splits of a dataset; new splits are made by hash.

    Votes are Kaggle's columns, or those of the Galaxy Zoo 2 dataset on the Hub, as fractions or as counts.

    Parameters
    ----------
    data : str
        Id of a dataset on the Hub, or a folder of Parquet files.
    wanted : Columns
        A named column of labels is taken even if there are votes.

    Returns
    -------
    found : Found
    read : callable
        Bytes of the image of a ``file``.
    stamp : str
        The fingerprint of the dataset.

    Raises
    ------
    UserError
        If it cannot be reached, or has no image, no id, or neither votes nor labels.
    """
    try:
        if Path(data).is_dir():
            files = sorted(map(str, Path(data).rglob("*.parquet")))
            opened = datasets.load_dataset("parquet", data_files=files, split="train")
            splits = {Path(file).name.partition("-")[0] for file in files} & set(SPLIT_NAMES)
        else:
            parts = datasets.load_dataset(data, revision=wanted.revision)
            opened, splits = datasets.concatenate_datasets([*parts.values()]), {*map(str, parts)}
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise UserError(f"{data}: cannot be loaded as a dataset ({str(error).splitlines()[0]})") from None
    names = opened.column_names
    for option, name in zip(("image_column", "label_column", "id_column"), wanted, strict=False):
        if name and name not in names:
            raise UserError(f"{data}: no column {name!r}; name it with --{option}, one of {', '.join(names[:20])}")
    id_column = wanted.image_id or next((name for name in ID_COLUMNS if name in names), None)
    if not id_column:
        raise UserError(
            f"{data}: needs an id of each galaxy, in a column such as {', '.join(ID_COLUMNS)}; name it with "
            f"--id_column, one of {', '.join(names[:20])}"
        )
    files = opened.select_columns([wanted.image]).cast_column(wanted.image, datasets.Image(decode=False))
    images = files.with_format("arrow")
    table = pd.DataFrame({"image_id": map(str, opened[id_column])})
    table["file"] = table.index.astype(str)
    if table["image_id"].duplicated().any():
        twice = table["image_id"][table["image_id"].duplicated()].iloc[0]
        raise UserError(f"{data}: {id_column} {twice} appears twice; every galaxy needs its own id")

    columns, skipped = opened.remove_columns(wanted.image).with_format("pandas"), Counter()
    votes = pd.DataFrame() if wanted.label else vote_fractions(columns[:], names)
    if not votes.empty:
        table = pd.concat([table, votes], axis=1)
        clean = clean_votes(table, tuple(votes))
        skipped["rows with a vote fraction that is not a number from 0 to 1"] += int((~clean).sum())
        table = table[clean]
    elif label_column := wanted.label or next((name for name in LABEL_COLUMNS if name in names), None):
        table["galaxy_class"] = class_names(opened, label_column)
    else:
        raise UserError(
            f"{data}: has neither votes nor one of {', '.join(LABEL_COLUMNS)}; name the column of classes with "
            f"--label_column, one of {', '.join(names[:20])}"
        )

    def read(row: str) -> bytes:
        return encoded_bytes(images[int(row)][wanted.image][0].as_py())

    for name in {"ra", "dec"} & set(names):
        table[name] = pd.Series(opened[name])
    notes = (f"the dataset's own splits ({', '.join(sorted(splits))}) are put together and made anew",)
    found = Found(table, tuple(votes), skipped, notes=notes if len(splits) > 1 else ())
    return found, read, opened._fingerprint


def vote_fractions(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The vote fractions of a table, by their Kaggle names; answers to a question that nobody was asked count as 0."""
    if set(VOTE_COLUMNS) <= set(names):
        return table[list(VOTE_COLUMNS)].astype(float)
    votes = {}
    questions = VOTES["column"].str.partition(".")[0]
    for _, answers in VOTES[VOTES["hub"] != ""].groupby(questions, sort=False):
        if {f"{name}_fraction" for name in answers["hub"]} <= set(names):
            fractions = table[[f"{name}_fraction" for name in answers["hub"]]].astype(float).fillna(0).to_numpy()
        elif set(answers["hub"]) <= set(names):
            counts = table[list(answers["hub"])].astype(float).fillna(0).to_numpy()
            fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        else:
            continue
        votes |= dict(zip(answers["column"], fractions.T, strict=True))
    return pd.DataFrame(votes)


def class_names(opened: datasets.Dataset, column: str) -> list[str]:
    """The name of the class of each row; an empty string where there is none."""
    feature = opened.features[column]
    values = opened[column]
    if isinstance(feature, datasets.ClassLabel):
        return ["" if value is None or value < 0 else feature.names[value] for value in values]
    return ["" if value is None else str(value) for value in values]


KIND = Kind(
    sign="Parquet files",
)
