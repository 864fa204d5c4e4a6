"""What may be the id of a galaxy: it stands in tables that people open in a spreadsheet."""

from collections.abc import Iterable

import pandas as pd

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
    ids = pd.Series(list(image_ids), dtype=object)
    texts = ids.map(lambda name: name if isinstance(name, str) else "")
    wrong = (texts == "") | (texts.str.len() > MAX_LENGTH) | texts.str.contains(FORMULA) | ~texts.map(str.isprintable)
    if wrong.any():
        shown = repr(ids[wrong].iloc[0])[:60]
        raise UserError(f"{where}: {shown} is no id of a galaxy (empty, not printable, or like a formula); rename it")
