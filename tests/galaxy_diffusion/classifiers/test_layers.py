"""Which layers learn, and how fast."""

import pytest
import timm
import torch
from timm.utils import unfreeze

from galaxy_diffusion.classifiers.layers import depths, parameter_groups, train_last_blocks
from gz2_dataset import UserError

SMALL = {
    "efficientnet": ("tf_efficientnetv2_b0", {"channel_multiplier": 0.25, "depth_multiplier": 0.34}),
    "swin": ("swin_tiny_patch4_window7_224", {"img_size": 56, "embed_dim": 24}),
    "vit": ("vit_tiny_patch16_224", {"img_size": 32, "embed_dim": 48}),
    "convnext": ("convnext_atto", {"dims": (8, 8, 8, 8), "depths": (1, 1, 1, 1)}),
}
LAST = {"efficientnet": "blocks.5", "swin": "layers.3", "vit": "blocks.11", "convnext": "stages.3"}


@pytest.fixture(params=SMALL)
def family(request) -> str:
    return request.param


def small(family: str) -> torch.nn.Module:
    name, arguments = SMALL[family]
    return timm.create_model(name, num_classes=3, **arguments)


def test_blocks_are_counted_from_the_head(family):
    net = small(family)
    depth = depths(net)
    assert depth.keys() == dict(net.named_parameters()).keys()
    head = net.get_classifier()
    of_head = [name for name, weight in net.named_parameters() if any(weight is own for own in head.parameters())]
    assert {depth[name] for name in of_head} == {0}
    assert {depth[name] for name in depth if name.startswith(LAST[family])} == {1}
    assert max(depth.values()) >= 4


@pytest.mark.parametrize("trained_blocks", [0, 1])
def test_what_is_frozen_stays_as_it_is_and_the_rest_learns(family, trained_blocks):
    torch.manual_seed(0)
    net = small(family)
    depth, before = depths(net), {name: value.clone() for name, value in net.state_dict().items()}
    train_last_blocks(net, trained_blocks)
    optimizer = torch.optim.SGD(parameter_groups(net, 0.1, 0.0))
    size = SMALL[family][1].get("img_size", 32)
    net.train()(torch.randn(4, 3, size, size)).square().sum().backward()
    optimizer.step()
    unfreeze(net)
    after = net.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {name for name in before if name.rpartition(".")[2] in {"running_mean", "running_var"}}
    assert {depth[name] for name in moved - statistics if name in depth} == set(range(trained_blocks + 1))
    kept = {name.rpartition(".")[0] for name in depth if depth[name] > trained_blocks}
    assert not [name for name in statistics & moved if name.rpartition(".")[0] in kept]
    assert before.keys() == after.keys(), "a plain net again, which timm loads"


def test_learning_rates_fall_from_the_head_to_the_stem(family):
    net = small(family)
    names, depth = {weight: name for name, weight in net.named_parameters()}, depths(net)
    groups = parameter_groups(net, 0.1, 0.05, layer_decay=0.5)
    assert sum(len(group["params"]) for group in groups) == len(names)
    for group in groups:
        for weight in group["params"]:
            assert group["lr"] == pytest.approx(0.1 * 0.5 ** depth[names[weight]])
            assert group["weight_decay"] == (0.05 if weight.ndim > 1 else 0)
    assert len(parameter_groups(net, 0.1, 0.05)) == 2


def test_more_blocks_than_there_are_is_one_line():
    with pytest.raises(UserError, match="the net has 6 blocks"):
        train_last_blocks(timm.create_model("test_efficientnet"), 6)
