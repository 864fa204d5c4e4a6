"""Names that try to break out of their place in a card, and a card as its reader sees it."""

import html
import re

HOSTILE = (
    "a|b",
    "a\\|b",
    "`rm`",
    "```\n# no code",
    "<script>alert(1)</script>",
    'm"); import os #',
    "two\nlines\n---\nlicense: mit",
    "\r\n---\r\n",
    "{{ 7 * 7 }}",
    "{% for x in y %}",
    "{{ ''.__class__ }}",
    "{title}",
    "- yes: [no]",
    "on",
    "'1'",
    "![x](https://example.org)",
    "&lt;b&gt;",
    "_both_ **ways** ~~out~~",
    "# heading #",
    "\x1b[31m",
    "é😀",
)
"""As classes, as a model's name, as settings."""


def as_shown(name: str) -> str:
    """A name on one line, without unprintable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())


def without_code(card: str) -> str:
    """The card's text, without its header and its blocks of code."""
    body = re.sub(r"\A---\n.*?\n---\n", "", card, count=1, flags=re.DOTALL)
    return re.sub(r"^(`{3,}).*?^\1$", "", body, flags=re.DOTALL | re.MULTILINE)


def tables(card: str) -> list[list[list[str]]]:
    """The cells of each table as GitHub's Markdown splits them, with backslashes and entities resolved."""
    found: list[list[list[str]]] = [[]]
    for line in without_code(card).splitlines():
        if line.startswith("|"):
            cells = re.findall(r"\|((?:\\.|[^\\|])*)", line)[:-1]
            found[-1].append([html.unescape(re.sub(r"\\([^A-Za-z0-9])", r"\1", cell.strip())) for cell in cells])
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def check_safe(card: str, headings: int) -> None:
    """Rows as long as their header, no tag or heading that the template lacks, nothing unprintable."""
    for table in tables(card):
        assert {len(row) for row in table} == {len(table[0])}
    text = without_code(card)
    assert not re.search(r"<(?!!-- Write what)", text)
    assert len(re.findall(r"^ {0,3}#", text, re.MULTILINE)) == headings
    assert all(character.isprintable() or character == "\n" for character in card)
