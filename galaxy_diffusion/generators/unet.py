"""The noise predictor and its table of classes or votes."""

from typing import Protocol

import numpy as np
import torch
from diffusers import UNet2DModel

from gz2_dataset import VOTE_COLUMNS, GalaxyArrays, UserError

NUM_VOTES = len(VOTE_COLUMNS)
NULL = "null"
"""Name of the table's last row, which guidance moves away from and images without a class train."""


class NetSettings(Protocol):
    """The settings of a UNet, as train_ddpm.py documents them."""

    resolution: int
    patch_size: int
    block_out_channels: list[int]
    layers_per_block: int
    attention_levels: list[int]
    attention_head_dim: int
    norm_num_groups: int
    dropout: float


def make_unet(settings: NetSettings, num_class_embeds: int) -> UNet2DModel:
    """The paper's noise predictor: features scaled and shifted, channel by channel, by the time and class embedding.

    Parameters
    ----------
    settings : NetSettings
        Any object with these fields.
    num_class_embeds : int
        Rows of the class table.

    Raises
    ------
    UserError
        If the resolution cannot be halved that often, or channels do not divide into groups or heads.
    """
    channels, levels = settings.block_out_channels, len(settings.block_out_channels)
    check_divisible(settings.resolution, settings.patch_size, levels)
    attention = [level in settings.attention_levels for level in range(levels)]
    attended = [size for size, a in zip(channels, attention, strict=True) if a] + channels[-1:]  # the middle attends
    for name, sizes in (("norm_num_groups", channels), ("attention_head_dim", attended)):
        if any(size % getattr(settings, name) for size in sizes):
            raise UserError(f"{name} {getattr(settings, name)} does not divide block_out_channels {channels}")
    return UNet2DModel(
        sample_size=settings.resolution // settings.patch_size,
        in_channels=3 * settings.patch_size**2,
        out_channels=3 * settings.patch_size**2,
        block_out_channels=tuple(channels),
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attention),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
        layers_per_block=settings.layers_per_block,
        attention_head_dim=settings.attention_head_dim,
        norm_num_groups=settings.norm_num_groups,
        dropout=settings.dropout,
        resnet_time_scale_shift="scale_shift",
        num_class_embeds=num_class_embeds,
    )


def check_divisible(resolution: int, patch_size: int, levels: int) -> None:
    """Refuse a resolution that does not divide into patches which the levels of a UNet can halve."""
    if resolution % patch_size:
        raise UserError(f"resolution {resolution} does not divide into patches of {patch_size} pixels")
    if (side := resolution // patch_size) % 2 ** (levels - 1):
        raise UserError(
            f"resolution {resolution}: {side} {'patches' if patch_size > 1 else 'pixels'} a side cannot be halved "
            f"{levels - 1} times; take fewer block_out_channels"
        )


def table_rows(class_names: tuple[str, ...], conditioning: str) -> list[str]:
    """Names of the class table's rows: the classes, the answers where votes are learned, and the null class.

    Where votes are learned, the embedding of a galaxy is the sum of the answers' rows weighted by its votes; the rows
    of the classes are filled in by `class_rows_from_votes`, so that the model can be asked for a class as any other.
    """
    return [*class_names, *(VOTE_COLUMNS if conditioning == "votes" else ()), NULL]


class VoteEmbedding(torch.nn.Embedding):
    """A class table that takes vote fractions and the null weight, shape (B, 38), in the place of indices."""

    def forward(self, votes: torch.Tensor) -> torch.Tensor:
        """The sum of the answers' rows, weighted by the votes, shape (B, D)."""
        return votes @ self.weight[-NUM_VOTES - 1 :]


def learn_votes(unet: UNet2DModel) -> None:
    """Let the UNet take votes where it took classes; its weights keep their names."""
    unet.class_embedding.__class__ = VoteEmbedding


@torch.no_grad()
def class_rows_from_votes(unet: UNet2DModel, galaxies: GalaxyArrays) -> None:
    """Back to a UNet that takes classes: a class's row becomes that of the mean votes of its galaxies."""
    unet.class_embedding.__class__ = torch.nn.Embedding
    table = unet.class_embedding.weight
    for label in range(len(galaxies.class_names)):
        votes = np.nanmean(galaxies.votes[galaxies.labels == label], axis=0)
        table[label] = torch.from_numpy(votes).to(table) @ table[-NUM_VOTES - 1 : -1]
