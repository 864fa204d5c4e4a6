"""Markdown of cards and tables: names that show as they are, tables, blocks of code."""

import html
import re
from collections.abc import Iterable, Sequence

# An underscore within a word does not mean emphasis, and class names have many.
MARKS = re.compile(r"[\\`*\[\]|~$#]|(?<![^\W_])_|_(?![^\W_])")


def one_line(text: str) -> str:
    """The text on one line, without unprintable characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def as_text(text: str) -> str:
    r"""Text that somebody else chose, on one line, without effect as Markdown, as HTML or on the columns of a table.

    Examples
    --------
    >>> print(as_text("cigar_shaped_smooth"), as_text("a|b *<script>"))
    cigar_shaped_smooth a\|b \*&lt;script&gt;
    """
    return MARKS.sub(r"\\\g<0>", html.escape(one_line(text), quote=False))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown of one line; names in them must have been through `as_text`.

    Examples
    --------
    >>> print(markdown_table(["class", "n"], [["spiral", "7"]]))
    | class | n |
    | --- | --- |
    | spiral | 7 |
    """
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def code_block(code: str, language: str = "") -> str:
    """A block of code that no line of the code can end.

    Examples
    --------
    >>> print(code_block("print(1)", "python"))
    ```python
    print(1)
    ```
    """
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"
