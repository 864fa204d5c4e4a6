"""The noise predictor is the net that its settings describe, and stays in bounds."""

from dataclasses import replace

import pytest
import torch
from diffusers.models.attention_processor import Attention

from galaxy_diffusion.generators.unet import UNetConfig, make_unet
from gz2_dataset import UserError

SETTINGS = UNetConfig(block_out_channels=[8, 16], attention_levels=[1], attention_head_dim=8, norm_num_groups=4)


def net(resolution: int = 32, **changes) -> torch.nn.Module:
    return make_unet(replace(SETTINGS, **changes), resolution, 3)


def test_every_attention_is_normalised():
    """Diffusers gives that of the middle block none if time scales and shifts the features, and it grows forever."""
    attentions = [module for module in net().modules() if isinstance(module, Attention)]
    assert len(attentions) == 4  # one down, two up, one in the middle
    assert all(attention.group_norm is not None for attention in attentions)


def test_the_net_works_on_patches():
    unet = net(patch_size=4)
    assert (unet.config.sample_size, unet.config.in_channels, unet.config.out_channels) == (8, 48, 48)
    assert unet(torch.zeros(2, 48, 8, 8), 0, torch.tensor([0, 1])).sample.shape == (2, 48, 8, 8)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"resolution": 31}, "31 pixels a side cannot be halved 1 times"),
        ({"patch_size": 3}, "does not divide into patches of 3"),
        ({"norm_num_groups": 3}, "norm_num_groups 3 does not divide"),
        ({"attention_head_dim": 5}, "attention_head_dim 5 does not divide"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, complaint):
    with pytest.raises(UserError, match=complaint):
        net(**change)
