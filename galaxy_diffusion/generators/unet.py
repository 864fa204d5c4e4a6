"""The noise predictor."""

from typing import Protocol

from diffusers import UNet2DModel

from gz2_dataset import UserError


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
        attn_norm_num_groups=settings.norm_num_groups,  # else scale_shift leaves the attention of the middle without
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
