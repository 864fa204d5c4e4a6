"""What may be the id of a galaxy: it stands in tables that people open in a spreadsheet."""

import re
from collections.abc import Iterable

from .user_error import UserError

FORMULA = r"^(?:[=@]|[+-](?!\d*\.?\d*$))"
"""How a cell begins that a spreadsheet carries out; numbers may have a sign."""
MAX_LENGTH = 250


def check_image_ids(image_ids: Iterable[str], where: str) -> None:
    """Refuse ids that are empty, longer than 250 characters, not printable, or begin like a formula.

    Parameters
    ----------
    image_ids : iterable of str
    where : str
        What has them, for the error.

    Raises
    ------
    UserError
        That names the first of them.

    Examples
    --------
    >>> check_image_ids(["587722981736120347", "J0123+45", "-7"], "labels.csv")
    """
    if wrong := next(([name] for name in image_ids if not is_id(name)), None):
        shown = repr(wrong[0])[:60]
        raise UserError(f"{where}: {shown} is no id of a galaxy (empty, not printable, or like a formula); rename it")


def is_id(name: object) -> bool:
    """Whether this can be the id of a galaxy."""
    return isinstance(name, str) and 0 < len(name) <= MAX_LENGTH and name.isprintable() and not re.match(FORMULA, name)
