"""Tables of galaxies: read as text, checked, and joined with the images that belong to their rows."""

import zipfile
import zlib
from collections import Counter
from pathlib import PurePosixPath

import pandas as pd

from gz2_dataset.command_line import UserError
from gz2_dataset.sources.files import Files
from gz2_dataset.votes import clean_votes

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def read_csv(files: Files, name: str, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> pd.DataFrame:
    """Columns of a CSV, plain or gzipped, as text; the first is an id, which must be unique and a file name.

    Parameters
    ----------
    files : Files
    name : str
        One of ``files.names``.
    columns, optional : tuple of str
        Columns that must be there, and those that are taken if they are.

    Raises
    ------
    UserError
        If the file cannot be read, has no rows, lacks a column, or has a missing, repeated or unsafe id.
    """
    path = files.where(name)
    try:
        with files.open(name) as file:
            table = pd.read_csv(
                file,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                usecols=lambda column: column in (*columns, *optional),
            )
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: the file is empty; download it again") from None
    except (OSError, ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as CSV ({reason}); download it again") from None
    if missing := [column for column in columns if column not in table.columns]:
        raise UserError(
            f"{path}: column {missing[0]} is missing ({len(missing)} in all); the file needs {columns[0]}, …"
        )
    if table.empty:
        raise UserError(f"{path}: has a header but no rows; download it again")
    ids = table[columns[0]]
    if ids.duplicated().any():
        raise UserError(f"{path}: {columns[0]} {ids[ids.duplicated()].iloc[0]} appears twice; remove one of the rows")
    if (unsafe := ids.str.contains(r"[/\\\x00-\x1f]") | ids.isin(["", ".", ".."])).any():
        raise UserError(f"{path}: {columns[0]} {ids[unsafe].iloc[0]!r} cannot be a file name; fix the row")
    return table


def numeric_votes(table: pd.DataFrame, columns: tuple[str, ...], path: str, skipped: Counter) -> pd.DataFrame:
    """The rows whose vote fractions are numbers from 0 to 1; the others are counted, and refused if they are many."""
    try:
        table = table.astype(dict.fromkeys(columns, float))
    except ValueError as error:
        raise UserError(f"{path}: a vote fraction is not a number ({error}); fix the row or remove it") from None
    clean = clean_votes(table, columns)
    if 2 * clean.sum() <= len(table):
        raise UserError(
            f"{path}: {int((~clean).sum())} of {len(table)} rows have a vote fraction outside [0, 1]; it needs "
            "fractions, not percentages or counts"
        )
    skipped["rows with a vote fraction that is not a number from 0 to 1"] += int((~clean).sum())
    return table[clean]


def join_images(table: pd.DataFrame, files: Files, names: list[str], csv: str, skipped: Counter) -> pd.DataFrame:
    """Give each row the name of its image in the column ``file``, or NaN; rows and images without a match are counted.

    Parameters
    ----------
    table : DataFrame
        With the column image_id.
    files : Files
    names : list of str
        Images that include those of the rows; a file in a folder is preferred to the same file in a zip.
    csv : str
        The table that the rows are from.
    skipped : Counter of str
    """
    images = [name for name in names if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]
    by_id = {PurePosixPath(name).stem: name for name in sorted(images, key=lambda name: ".zip/" not in name)}
    table = table.assign(file=table["image_id"].map(by_id))
    if table["file"].isna().all():
        raise UserError(f"{files.root}: holds none of the images that {csv} names; put their folder or zip there")
    skipped["rows without image"] += int(table["file"].isna().sum())
    skipped["images without row"] += len(set(by_id) - set(table["image_id"]))
    return table
