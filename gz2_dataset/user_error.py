"""Errors that are for the user."""


class UserError(Exception):
    """An error that the user can fix; its text is one line that names the file and the remedy."""


def in_short(error: BaseException) -> str:
    r"""The first sentence of a library's error, in one line of at most 200 characters, for the text of a `UserError`.

    Examples
    --------
    >>> in_short(ValueError("size mismatch. Make sure that\nall is well"))
    'ValueError: size mismatch'
    """
    return " ".join(f"{type(error).__name__}: {error}".partition(". ")[0].split())[:200]
