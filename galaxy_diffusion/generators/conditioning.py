"""What the net is told about a galaxy: its class, the volunteers' votes, or nothing.

The UNet's class table has one row per class, one row per answer where votes are learned, and a last row for nothing
("null"). Galaxies without a class train the null row, and guidance moves away from it. Where votes are learned, a
galaxy is the sum of the answers' rows weighted by its votes; the rows of the classes are filled in at the end, so that
the model can be asked for a class like any other model.
"""

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from diffusers import UNet2DModel

from gz2_dataset import VOTE_COLUMNS, GalaxyArrays, UserError

NUM_VOTES = len(VOTE_COLUMNS)
NULL = "null"


@dataclass(frozen=True)
class Conditioning:
    """How galaxies are described to the net.

    Attributes
    ----------
    class_names : tuple of str
    kind : {"class", "votes"}
    """

    class_names: tuple[str, ...]
    kind: Literal["class", "votes"] = "class"

    @property
    def row_names(self) -> list[str]:
        """Names of the rows of the class table."""
        return [*self.class_names, *(VOTE_COLUMNS if self.kind == "votes" else ()), NULL]

    @property
    def null(self) -> int | np.ndarray:
        """The label of a galaxy about which nothing is said."""
        return len(self.class_names) if self.kind == "class" else np.eye(NUM_VOTES + 1, dtype=np.float32)[-1]

    def labels(self, classes: np.ndarray, votes: np.ndarray | None) -> np.ndarray:
        """Labels as the net takes them.

        Parameters
        ----------
        classes : ndarray of int, shape (N,)
            -1 where a galaxy has none.
        votes : ndarray of float32, shape (N, 37), or None
            NaN where a galaxy lacks some of them; None where the data has none.

        Returns
        -------
        ndarray of int64, shape (N,), or of float32, shape (N, 38)
            Rows of the class table; or the votes and the weight of the null row.

        Raises
        ------
        UserError
            If votes are to be learned and the data has none.
        """
        if self.kind == "class":
            return np.where(classes < 0, self.null, classes)
        self.check(votes is not None)
        assert votes is not None
        known = np.isfinite(votes).all(axis=1, keepdims=True)
        return np.hstack([np.where(known, votes, 0), ~known]).astype(np.float32)

    def check(self, has_votes: bool) -> None:
        """Refuse to learn votes from data without any."""
        if self.kind == "votes" and not has_votes:
            raise UserError("the data has no vote fractions; train with --conditioning class")


class VoteTable(torch.nn.Embedding):
    """A class table that takes votes and the null weight, shape (B, 38), instead of rows."""

    def forward(self, votes: torch.Tensor) -> torch.Tensor:
        """The sum of the answers' rows, weighted by the votes, shape (B, D)."""
        return votes @ self.weight[-NUM_VOTES - 1 :]


def with_table(unet: UNet2DModel, kind: type[torch.nn.Embedding]) -> None:
    """Let the UNet look its labels up in a table of another kind with the same weights."""
    weight = unet.class_embedding.weight
    unet.class_embedding = kind(*weight.shape, _weight=weight.detach(), _freeze=not weight.requires_grad)


def learn_votes(unet: UNet2DModel) -> None:
    """Let the UNet take votes where it took classes; its weights keep their names."""
    with_table(unet, VoteTable)


@torch.no_grad()
def class_rows_from_votes(unet: UNet2DModel, galaxies: GalaxyArrays) -> None:
    """Back to a UNet that takes classes: a class's row becomes that of the mean votes of its galaxies."""
    assert galaxies.votes is not None
    with_table(unet, torch.nn.Embedding)
    table = unet.class_embedding.weight
    for label, name in enumerate(galaxies.class_names):
        votes = np.nanmean(galaxies.votes[galaxies.of_class(name)], axis=0)
        table[label] = torch.from_numpy(votes).to(table) @ table[-NUM_VOTES - 1 : -1]


def known_rows(index: dict, unet: UNet2DModel) -> list[str]:
    """Names of the rows of a saved model's class table, from its ``model_index.json``; empty where it has no table."""
    classes = tuple(name for _, name in sorted((index.get("id2label") or {}).items(), key=lambda item: int(item[0])))
    rows = unet.config.num_class_embeds or 0
    kind = "votes" if rows == len(classes) + NUM_VOTES + 1 else "class"
    return Conditioning(classes, kind).row_names if rows else []


def remade_table(old: torch.Tensor | None, known: list[str], wanted: list[str], model: str) -> torch.Tensor | None:
    """A saved model's class table with the rows ``wanted``.

    Parameters
    ----------
    old : Tensor, shape (rows, D), or None
        The model's table.
    known, wanted : list of str
        Names of its rows, and of those of the new one. Known rows are kept, others are drawn, from their name, with the
        spread that the model's have: rows that begin alike stay alike for thousands of steps.
    model : str
        Its name, for errors.

    Returns
    -------
    Tensor, shape (len(wanted), D), or None
        None where the model has no table.

    Raises
    ------
    UserError
        If the model does not name its rows, or learned no votes where votes are wanted.
    """
    if old is None or not known:
        return None
    if len(old) != len(known):
        raise UserError(f"init_from {model}: its model_index.json does not name its {len(old) - 1} classes")
    if len(wanted) > NUM_VOTES + 1 and wanted[-NUM_VOTES - 1 : -1] != known[-NUM_VOTES - 1 : -1]:
        raise UserError(f"init_from {model}: was trained on classes; use --conditioning class")
    return torch.stack([old[known.index(name)] if name in known else drawn_row(name, old) for name in wanted])


def drawn_row(name: str, table: torch.Tensor) -> torch.Tensor:
    """A row for a class that a table of shape (rows, D) lacks, of its spread, shape (D,)."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return table.std() * torch.randn(table.shape[1], generator=generator).to(table)
