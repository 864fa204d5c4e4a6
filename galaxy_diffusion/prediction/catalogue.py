"""Catalogues of galaxies: CSV, ECSV, FITS, Parquet and VOTable, read and written with their values as they are.

CSV and Parquet go through pandas, where a whole number may be missing and need not become a fraction for that; the
other formats through astropy, which keeps units and descriptions.
"""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from astropy.table import MaskedColumn, Table
from astropy.utils.exceptions import AstropyWarning

from gz2_dataset import UserError
from gz2_dataset.aside import written_aside

FORMATS = {".csv": "csv", ".parquet": "parquet", ".ecsv": "ascii.ecsv", ".vot": "votable", ".fits": "fits"}
LEADING_ZERO = r"[+-]?0\d"


def format_of(path: Path, option: str) -> str:
    """The format of a catalogue, by the suffix of its name.

    Raises
    ------
    UserError
        If it is none of `FORMATS`.
    """
    if found := FORMATS.get(path.suffix.lower()):
        return found
    raise UserError(f"{option} {path}: no format has the suffix {path.suffix!r}; take one of {', '.join(FORMATS)}")


def read_catalogue(path: Path) -> Table:
    """A catalogue with all its columns.

    In a CSV, a column is a number where all of its values are, and none begins with a zero that would be lost, as in
    the name ``007``.

    Raises
    ------
    UserError
        If it cannot be read as what its suffix says.
    """
    kind = format_of(path, "--images")
    try:
        if kind == "csv":
            text = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
            return Table({name: typed(text[name]) for name in text.columns}, copy=False)
        if kind == "parquet":
            return Table.from_pandas(pd.read_parquet(path, dtype_backend="numpy_nullable"))
        with warnings.catch_warnings(action="ignore", category=AstropyWarning):  # on how others write catalogues
            table = Table.read(path, format=kind)
        table.convert_bytestring_to_unicode()
    except Exception as error:  # each library has its own
        raise UserError(f"{path}: cannot be read as a catalogue ({' '.join(str(error).split())})") from None
    return table


def typed(text: pd.Series) -> MaskedColumn | np.ndarray:
    """A column of text as whole numbers, fractions or, if it is neither, as text; empty cells are masked."""
    empty = (text == "").to_numpy()
    filled = text[~empty]
    values = text.to_numpy(str)
    if len(filled) and not filled.str.match(LEADING_ZERO).any():
        for dtype in (np.int64, np.float64):
            try:
                values = np.where(empty, "0", values).astype(dtype)
                break
            except (ValueError, OverflowError):
                continue
    return MaskedColumn(values, mask=empty) if empty.any() else values


def write_catalogue(table: Table, path: Path) -> None:
    """Write a catalogue in the format of its suffix, whole or not at all.

    Raises
    ------
    UserError
        If the format has no place for a column or a value.
    """
    with written_aside(path) as aside:
        save(table, aside, path)


def check_catalogue(table: Table, path: Path) -> None:
    """Refuse what `write_catalogue` would refuse, before hours of work and not after them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        save(table, Path(folder) / path.name, path)


def save(table: Table, file: Path, path: Path) -> None:
    """Write a catalogue to a file that becomes ``path``, whose name decides on the format."""
    kind = format_of(path, "--output")
    try:
        if kind == "csv":
            if vectors := [name for name in table.colnames if table[name].ndim > 1]:
                raise ValueError(f"column {vectors[0]!r} has several values in a row")
            to_frame(table).to_csv(file, index=False)
        elif kind == "parquet":
            to_frame(table).to_parquet(file, index=False)
        else:
            options = {"tabledata_format": "binary2"} if kind == "votable" else {}
            table.write(str(file), format=kind, **options)  # astropy 7.0 takes no Path for a VOTable
    except (ValueError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be written ({reason}); take another of {', '.join(FORMATS)}") from None


def to_frame(table: Table) -> pd.DataFrame:
    """The catalogue for pandas; its whole numbers stay exact where some are missing."""
    frame = table.to_pandas()
    for name in table.colnames:
        column = table[name]
        if isinstance(column, MaskedColumn) and column.dtype.kind in "iu":  # astropy 8.0.0 takes them through floats
            values = column.filled(0).data
            frame[name] = pd.arrays.IntegerArray(values.astype(values.dtype.newbyteorder("=")), np.array(column.mask))
    return frame
