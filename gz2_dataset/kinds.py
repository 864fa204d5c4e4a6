"""Whether plain data, as JSON holds them, are of the types that the code expects."""

import types
import typing
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union

from .user_error import UserError

T = TypeVar("T")
MOST = 2**63
"""Whole numbers are smaller than this, as those of NumPy are."""


def made(kind: type[T], values: dict[str, Any]) -> T:
    """A dataclass of values that may come from anybody.

    Raises
    ------
    TypeError
        If a field is missing or unknown, or its value is not of the field's type.

    Examples
    --------
    >>> from .rules import Condition
    >>> made(Condition, {"column": "Class1.1", "threshold": "high"})
    Traceback (most recent call last):
        ...
    TypeError: threshold 'high' is no float
    """
    found = kind(**values)
    for name, hint in typing.get_type_hints(kind).items():
        if not is_of(getattr(found, name), hint):
            raise TypeError(f"{name} {str(values.get(name))[:40]!r} is no {getattr(hint, '__name__', hint)}")
    return found


def is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; a whole number counts as a fraction too, a boolean as no number.

    Examples
    --------
    >>> is_of({"train": {"ring": 7}}, dict[str, dict[str, int]]), is_of([1, None], list[int])
    (True, False)
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(is_of(value, kind) for kind in inner)
    if origin is dict:
        return isinstance(value, dict) and all(is_of(k, inner[0]) and is_of(v, inner[1]) for k, v in value.items())
    if origin is tuple and inner[-1] is not ...:
        fits = isinstance(value, tuple | list) and len(value) == len(inner)
        return fits and all(is_of(entry, kind) for entry, kind in zip(value, inner, strict=True))
    if origin in (tuple, list):
        return isinstance(value, tuple | list) and all(is_of(entry, inner[0]) for entry in value)
    if hint in (int, float):
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < MOST
        return whole or (hint is float and isinstance(value, float))
    if is_dataclass(value):
        return isinstance(value, hint) and all(
            is_of(getattr(value, name), of_field) for name, of_field in typing.get_type_hints(type(value)).items()
        )
    return isinstance(value, hint)


def check_kinds(values: dict[str, Any], kinds: dict[str, Any], where: Path | str, remedy: str) -> None:
    """Raise a `UserError` for the first of the values that is there and not of its type.

    Parameters
    ----------
    values : dict
        An object of a JSON file.
    kinds : dict
        Types by the names of the values that are checked.
    where, remedy
        The file, and what the user can do.
    """
    for name, hint in kinds.items():
        if name in values and not is_of(values[name], hint):
            raise UserError(f"{where}: {name} is {str(values[name])[:40]!r}; {remedy}")
