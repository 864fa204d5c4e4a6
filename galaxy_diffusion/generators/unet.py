"""The noise predictor."""

from dataclasses import dataclass, field

from diffusers import UNet2DModel

from gz2_dataset import UserError
from gz2_dataset.ranges import Checked, at_least, between


@dataclass
class UNetConfig(Checked):
    """Settings of a UNet."""

    patch_size: int = field(default=1, metadata=between(1, 64))
    """Side in pixels of the patches that the net works on: 2 at 64 px or 7 at 224 px cost about as much as 32 px
    without patches. 1, the pixels themselves, is the paper's."""
    block_out_channels: list[int] = field(default_factory=lambda: [32, 64, 96], metadata=between(1, 8192))
    """Channels of each level of the UNet; each level but the last halves the image."""
    layers_per_block: int = field(default=1, metadata=between(1, 64))
    """Residual blocks per level."""
    attention_levels: list[int] = field(default_factory=lambda: [2], metadata=at_least(0))
    """Levels with self-attention, 0 being the full resolution."""
    attention_head_dim: int = field(default=32, metadata=at_least(1))
    """Channels per attention head."""
    norm_num_groups: int = field(default=8, metadata=at_least(1))
    """Groups of the group normalisation; divides all block_out_channels."""
    dropout: float = field(default=0.0, metadata=between(0, 1))
    """Dropout in the residual blocks."""


def make_unet(settings: UNetConfig, resolution: int, num_class_embeds: int) -> UNet2DModel:
    """The paper's noise predictor: features scaled and shifted, channel by channel, by the time and class embedding.

    Parameters
    ----------
    settings : UNetConfig
    resolution : int
        Side of the images in pixels.
    num_class_embeds : int
        Rows of the class table.

    Raises
    ------
    UserError
        If the resolution cannot be halved that often, or channels do not divide into groups or heads.
    """
    channels, levels = settings.block_out_channels, len(settings.block_out_channels)
    check_divisible(resolution, settings.patch_size, levels)
    check_attention(settings.attention_levels, levels)
    attention = [level in settings.attention_levels for level in range(levels)]
    attended = [size for size, a in zip(channels, attention, strict=True) if a] + channels[-1:]  # the middle attends
    for name, sizes in (("norm_num_groups", channels), ("attention_head_dim", attended)):
        if any(size % getattr(settings, name) for size in sizes):
            raise UserError(f"{name} {getattr(settings, name)} does not divide block_out_channels {channels}")
    return UNet2DModel(
        sample_size=resolution // settings.patch_size,
        in_channels=3 * settings.patch_size**2,
        out_channels=3 * settings.patch_size**2,
        block_out_channels=tuple(channels),
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attention),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
        layers_per_block=settings.layers_per_block,
        attention_head_dim=settings.attention_head_dim,
        norm_num_groups=settings.norm_num_groups,
        attn_norm_num_groups=settings.norm_num_groups,  # else scale_shift leaves the middle's attention without a norm
        dropout=settings.dropout,
        resnet_time_scale_shift="scale_shift",
        num_class_embeds=num_class_embeds,
    )


def check_divisible(resolution: int, patch_size: int, levels: int) -> None:
    """Refuse a resolution that the patches do not divide, or that the levels of a UNet cannot halve."""
    if not levels:
        raise UserError("block_out_channels []: give the channels of at least one level")
    if resolution % patch_size:
        raise UserError(f"resolution {resolution} does not divide into patches of {patch_size} pixels")
    if (side := resolution // patch_size) % 2 ** (levels - 1):
        raise UserError(
            f"resolution {resolution}: {side} {'patches' if patch_size > 1 else 'pixels'} a side cannot be halved "
            f"{levels - 1} times; take fewer block_out_channels"
        )


def check_attention(attention_levels: list[int], levels: int) -> None:
    """Refuse attention at a level that a net does not have."""
    if max(attention_levels, default=0) >= levels:
        raise UserError(
            f"attention_levels {attention_levels}: block_out_channels has only the levels 0 to {levels - 1}"
        )
