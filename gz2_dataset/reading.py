"""Files of this project that are read again: what is damaged, too large or no file is one line with the remedy."""

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from .user_error import UserError, in_short

MOST_BYTES, MOST_OF_A_LINE, MOST_OF_YAML = 64_000_000, 1_000_000, 1_000_000
DEEPEST, MOST_ALIASES = 64, 100
"""Lists and mappings in one another in YAML, and names that stand for one of them."""


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object that a JSON file holds.

    Parameters
    ----------
    path : Path
    remedy : str
        What the user can do if the file is damaged.

    Raises
    ------
    UserError
        If it is none of a sensible size, or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "run.json")
    >>> _ = path.write_text('{"seed": 0}', encoding="utf-8")
    >>> read_json(path, "train again")
    {'seed': 0}
    """
    try:
        return an_object(json.loads(text_of(path, MOST_BYTES)))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error, remedy) from None


def read_json_lines(path: Path, remedy: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with one in each line, with the numbers of their lines.

    Parameters
    ----------
    path, remedy
        As for `read_json`.

    Raises
    ------
    UserError
        If a line is none, or is longer than `MOST_OF_A_LINE`.
    """
    number = 0
    try:
        check_file(path)
        with path.open("rb") as file:
            while line := file.readline(MOST_OF_A_LINE + 1):
                number += 1
                if len(line) > MOST_OF_A_LINE:
                    raise ValueError(f"is longer than {MOST_OF_A_LINE} bytes")
                yield number, an_object(json.loads(line))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(f"{path}, line {number}", error, remedy) from None


def read_yaml(path: Path, remedy: str = "correct it") -> Any:
    """What a YAML file holds: plain data. Aliases of aliases, which make gigabytes of a few lines, are refused.

    Parameters
    ----------
    path, remedy
        As for `read_json`.

    Raises
    ------
    UserError
        If it is damaged, has many aliases or one within what another stands for, or is nested more than `DEEPEST` deep.
    """
    try:
        text = text_of(path, MOST_OF_YAML)
        within: list[bool] = []  # of each list or mapping that is open: does an anchor cover it?
        aliases = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                within.append(event.anchor is not None or within[-1:] == [True])
            elif isinstance(event, yaml.CollectionEndEvent):
                within.pop()
            aliases += isinstance(event, yaml.AliasEvent)
            nested = isinstance(event, yaml.AliasEvent) and within[-1:] == [True]
            if nested or aliases > MOST_ALIASES or len(within) > DEEPEST:
                raise ValueError(f"line {event.start_mark.line + 1} has too many aliases, or lists in one another")
        return yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise damaged(path, error, remedy) from None


def read_table(path: Path, remedy: str, texts: tuple[str, ...], numbers: str = "") -> pd.DataFrame:
    """A table of ours: texts as they are, numbers finite.

    Parameters
    ----------
    path, remedy
        As for `read_json`.
    texts : tuple of str
        Columns that must be there.
    numbers : str
        A regular expression for the names of the columns that hold numbers.

    Raises
    ------
    UserError
        If it is no such table, or a line is cut short or too long.
    """
    try:
        check_file(path)
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # of lines that are too long
            table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
        if missing := [name for name in texts if name not in table]:
            raise ValueError(f"no column {missing[0]}")
        if table.isna().any(axis=None):
            raise ValueError("a line is cut short")
        table = table.astype({name: float for name in table if re.fullmatch(numbers, str(name))})
        if not table.select_dtypes("number").abs().lt(float("inf")).all(axis=None):
            raise ValueError("a number is not finite")
        return table
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise damaged(path, error, remedy) from None


def text_of(path: Path, most: int) -> str:
    check_file(path)
    if path.stat().st_size > most:
        raise ValueError(f"has more than {most} bytes")
    return path.read_text(encoding="utf-8")


def check_file(path: Path) -> None:
    """Raise an OSError if there is no file, or a pipe or device, which may have no end."""
    if not path.is_file():
        raise OSError("is no file" if path.exists() else "no such file")


def an_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{str(value)[:40]!r} is no object")
    return value


def damaged(where: Path | str, error: Exception, remedy: str) -> UserError:
    return UserError(f"{where}: cannot be read ({in_short(error)}); {remedy}")
