"""Tables to read, with full precision for CSV behind them, and the building blocks of the report's tables."""

from dataclasses import dataclass, field
from itertools import accumulate

import pandas as pd

from gz2_dataset.markdown import as_text, markdown_table


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes
    ----------
    text : str
    interval : str
        Its 95 % interval, set smaller.
    bold : bool
    tone : str
        better, worse or empty.
    """

    text: str
    interval: str = ""
    bold: bool = False
    tone: str = ""

    @property
    def markdown(self) -> str:
        text = as_text(self.text)
        text = f"**{text}**" if self.bold else text
        return f"{text} {self.interval}".strip()


@dataclass(frozen=True)
class Table:
    """A table to read, and the frame behind it.

    Attributes
    ----------
    caption : str
    groups : tuple of (str, int)
        Titles above the columns and how many columns each spans; an empty title for none.
    columns : tuple of str
    rows : list of list of Cell
    notes : list of str
    frame : DataFrame or None
        Full precision, for CSV.
    blocks : bool
        Rows whose first cells are equal form a block under that cell.
    """

    caption: str
    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)
    frame: pd.DataFrame | None = None
    blocks: bool = False

    @property
    def text_columns(self) -> int:
        """Number of columns on the left that hold words."""
        return sum(column in ("Class", "Tasks", "Threshold", "Backbone", "Arm", "Run") for column in self.columns)

    @property
    def starts(self) -> list[int]:
        """Columns at which a titled group begins."""
        positions = accumulate((span for _, span in self.groups), initial=0)
        return [start for start, (name, _) in zip(positions, self.groups, strict=False) if name]

    @property
    def markdown(self) -> str:
        above = [name for name, span in self.groups for _ in range(span)] or [""] * len(self.columns)
        header = [f"{group}: {column}" if group else column for group, column in zip(above, self.columns, strict=True)]
        table = markdown_table(
            [as_text(title) for title in header], [[cell.markdown for cell in row] for row in self.rows]
        )
        notes = "".join(f"\n- {as_text(note)}" for note in self.notes)
        return f"### {as_text(self.caption)}\n\n{table}\n{notes}\n"


def number(value: float | None) -> Cell:
    return Cell("–" if value is None or pd.isna(value) else f"{int(value):,}")
