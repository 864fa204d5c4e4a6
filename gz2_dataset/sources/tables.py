"""Tables of galaxies: read as text, checked, and joined with the images that belong to their rows."""

import zipfile
import zlib
from collections import Counter

import pandas as pd

from gz2_dataset.command_line import UserError
from gz2_dataset.sources.files import Files
from gz2_dataset.sources.image_names import is_image, stem_of
from gz2_dataset.votes import clean_votes

SEPARATORS = ",;\t|"
NO_CLASS = {"", "nan", "none", "null", "na", "n/a"}
"""What stands for a missing value in tables, in any case."""


def read_csv(
    files: Files, name: str, columns: tuple[str, ...], optional: tuple[str, ...] = (), names_files: bool = False
) -> pd.DataFrame:
    """Columns of a CSV, plain or gzipped, as text without blanks around it; the first is an id, unique and a file name.

    Commas, semicolons, tabs or bars separate the columns: whichever finds the first of ``columns``.

    Parameters
    ----------
    files : Files
    name : str
        One of ``files.names``.
    columns, optional : tuple of str
        Columns that must be there, and those that are taken if they are.
    names_files : bool
        The id may also be the name of an image, with or without its folder; the id is then its stem.

    Raises
    ------
    UserError
        If the file cannot be read, has no rows, lacks a column, or has a missing, repeated or unsafe id.
    """
    path = files.where(name)
    try:
        with files.open(name) as file:
            header = file.readline().decode("utf-8-sig").strip()
        separator = next((s for s in SEPARATORS if columns[0] in cells(header, s)), SEPARATORS[0])
        with files.open(name) as file:
            table = pd.read_csv(
                file,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                usecols=lambda column: column.strip() in (*columns, *optional),
            )
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: the file is empty; download it again") from None
    except (OSError, ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as CSV ({reason}); download it again") from None
    table = table.rename(columns=str.strip).apply(lambda column: column.str.strip())
    if missing := [column for column in columns if column not in table.columns]:
        there = ", ".join(cells(header, separator)[:8])
        raise UserError(
            f"{path}: column {missing[0]} is missing ({len(missing)} in all); the file needs {columns[0]}, …, it has "
            f"{there}"
        )
    if table.empty:
        raise UserError(f"{path}: has a header but no rows; download it again")
    ids = table[columns[0]]
    if names_files and not (stems := ids.map(stem_of)).duplicated().any():
        ids = table[columns[0]] = stems
    if ids.duplicated().any():
        raise UserError(f"{path}: {columns[0]} {ids[ids.duplicated()].iloc[0]} appears twice; remove one of the rows")
    if (unsafe := ids.str.contains(r"[/\\\x00-\x1f]") | ids.isin(["", ".", ".."])).any():
        raise UserError(f"{path}: {columns[0]} {ids[unsafe].iloc[0]!r} cannot be a file name; fix the row")
    return table


def cells(line: str, separator: str) -> list[str]:
    """The columns that a header names."""
    return [cell.strip().strip('"') for cell in line.split(separator)]


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


def join_images(table: pd.DataFrame, files: Files, names: list[str], csv: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Give each row the name of its image in the column ``file``, or NaN.

    Parameters
    ----------
    table : DataFrame
        With the column image_id.
    files : Files
    names : list of str
        Images that include those of the rows; a file in a folder is preferred to the same file in a zip.
    csv : str
        The table that the rows are from.

    Returns
    -------
    table : DataFrame
    unused : dict of str to str
        Images that belong to no row, and why.
    """
    images = [name for name in names if is_image(name)]
    by_id = {stem_of(name): name for name in sorted(images, key=lambda name: ".zip/" not in name)}
    table = table.assign(file=table["image_id"].map(by_id))
    if table["file"].isna().all():
        example = f" ({table['image_id'].iloc[0]} is not the name of one such as {images[0]})" if images else ""
        raise UserError(
            f"{files.root}: holds none of the images that {csv} names{example}; put their folder or zip there"
        )
    stray = set(by_id) - set(table["image_id"])
    unused = {by_id[image_id]: "images without row" for image_id in stray}
    unused |= dict.fromkeys(set(images) - set(by_id.values()), "further images of the same name")
    return table, unused


def without_image(table: pd.DataFrame) -> Counter:
    """The number of rows without an image."""
    return Counter({"rows without image": int(table["file"].isna().sum())})


def elsewhere(files: Files, images: list[str]) -> dict[str, str]:
    """Images that are not where a source has its images."""
    there = set(images)
    return {name: "images elsewhere" for name in files.names if is_image(name) and name not in there}
