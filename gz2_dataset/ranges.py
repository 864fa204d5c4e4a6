"""Which values a setting may have: declared at its field, checked when its dataclass is made."""

import math
from dataclasses import dataclass, fields
from typing import Any

from .user_error import UserError


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may be.

    Attributes
    ----------
    low, high : float
    open : bool
        Whether ``low`` itself is outside.
    """

    low: float
    high: float = math.inf
    open: bool = False

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and (self.low < value if self.open else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.open:
            return f"above {self.low}" + ("" if math.isinf(self.high) else f" and at most {self.high}")
        return f"at least {self.low}" if math.isinf(self.high) else f"from {self.low} to {self.high}"


def at_least(low: float) -> dict[str, Range]:
    """Metadata of a field whose value, or each of whose values, is at least ``low``; None is always allowed."""
    return {"range": Range(low)}


def above(low: float, high: float = math.inf) -> dict[str, Range]:
    """Metadata of a field whose value is above ``low`` and at most ``high``."""
    return {"range": Range(low, high, open=True)}


def between(low: float, high: float) -> dict[str, Range]:
    """Metadata of a field whose value is one from ``low`` to ``high``."""
    return {"range": Range(low, high)}


class Checked:
    """Base of a dataclass of settings: a value out of the range of its field is a `UserError`.

    Examples
    --------
    >>> from dataclasses import field
    >>> @dataclass
    ... class Settings(Checked):
    ...     batch_size: int = field(default=64, metadata=at_least(1))
    >>> Settings(batch_size=0)
    Traceback (most recent call last):
        ...
    gz2_dataset.user_error.UserError: batch_size 0: must be at least 1
    """

    def __post_init__(self) -> None:
        check_ranges(self)


def check_ranges(settings: Any) -> None:
    """Raise a `UserError` for the first field of a dataclass whose value is out of its range."""
    for field in fields(settings):
        value, allowed = getattr(settings, field.name), field.metadata.get("range")
        if allowed is None or value is None:
            continue
        for number in value if isinstance(value, list | tuple) else [value]:
            if number not in allowed:
                raise UserError(f"{field.name} {value}: must be {allowed}")
