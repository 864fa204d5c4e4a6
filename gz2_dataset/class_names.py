"""What may be the name of a class: it becomes a folder, a column, an option and a heading."""

import unicodedata
from collections.abc import Iterable

from .command_line import UserError

RESERVED = {"all", "macro", "na", "nan", "none", "null"}
"""Names with a meaning in tables, figures and nets, in any case."""
MAX_BYTES = 100
"""The name of a folder has at most 255 bytes on most systems; a picture's is longer than its class's."""
NOT_WITHIN = '/\\,=:*?"<>|'
"""Separators of paths, and of classes in options; and what Windows allows in no file's name."""


def check_class_names(names: Iterable[object], where: str) -> tuple[str, ...]:
    """The names of the classes of data or of a model, which may come from anybody, if they can be used everywhere.

    Parameters
    ----------
    names : iterable of str
    where : str
        What has them, for the error.

    Raises
    ------
    UserError
        If one is empty, longer than 100 bytes, reserved, has a separator or a character that is not printed, begins or
        ends with a blank, begins as a formula, an option or a hidden file does, or if two differ in case alone.

    Examples
    --------
    >>> check_class_names(["edge on", "spiral"], "data")
    ('edge on', 'spiral')
    """
    seen: dict[str, str] = {}
    for name in names:
        problem = problem_of_name(name)
        if not problem and (other := seen.setdefault(str(name).casefold(), str(name))) != name:
            problem = f"differs from {other!r} in case alone"
        if problem:
            shown = repr(name) if len(repr(name)) < 80 else f"{repr(name)[:60]}…"
            raise UserError(f"{where}: class {shown} {problem}; rename it")
    return tuple(map(str, seen.values()))


def problem_of_name(name: object) -> str:
    """Why this cannot be the name of a class; empty if it can."""
    if not isinstance(name, str):
        return "is no text"
    if not name.strip():
        return "has no name"
    if len(name.encode(errors="replace")) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes"
    if name != name.strip() or not name.isprintable() or unicodedata.normalize("NFC", name) != name:
        return "has a blank at an end, or a character that is not printed as it is stored"
    if found := next((character for character in NOT_WITHIN if character in name), None):
        return f"has the character {found!r}"
    if name.startswith((".", "-", "+", "@")) or name.endswith("."):
        return f"begins or ends with {name[0] if name[0] in '.-+@' else '.'!r}"
    return "has a name with a meaning of its own" if name.casefold() in RESERVED else ""
