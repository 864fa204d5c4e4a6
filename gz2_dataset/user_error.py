"""Errors that are for the user."""


class UserError(Exception):
    r"""An error that the user can fix; its text is one line that names the file and the remedy.

    What is not printed, such as line breaks and what steers a terminal, in a name or in a library's error becomes a
    blank.

    Examples
    --------
    >>> str(UserError("the class 'a\x1b[2J\nb' has a character that is not printed"))
    "the class 'a [2J b' has a character that is not printed"
    """

    def __init__(self, text: str = ""):
        super().__init__("".join(letter if letter.isprintable() else " " for letter in str(text)).strip())


def in_short(error: BaseException) -> str:
    r"""The first sentence of a library's error, in one line of at most 200 characters, for the text of a `UserError`.

    Examples
    --------
    >>> in_short(ValueError("size mismatch. Make sure that\nall is well"))
    'ValueError: size mismatch'
    """
    return " ".join(f"{type(error).__name__}: {error}".partition(". ")[0].split())[:200]
