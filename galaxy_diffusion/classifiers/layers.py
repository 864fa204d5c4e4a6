"""Which layers of a net learn, and how fast: all, the last blocks or the head alone; slower the farther from the head.

A block is what timm groups under that name: a block of a transformer, a stage of a convolutional net. The stem counts
as one, the head as none.
"""

from typing import Any

import torch
from timm.models import group_parameters
from timm.utils import freeze

from gz2_dataset import UserError


def depths(net: torch.nn.Module) -> dict[str, int]:
    """How many blocks lie between each parameter, by its name, and the head: 0 is the head, 1 the last block."""
    block_of: Any = group_parameters(net, net.group_matcher(coarse=True), reverse=True)  # pyright: ignore[reportCallIssue]
    return {name: max(block_of.values()) - block for name, block in block_of.items()}


def train_last_blocks(net: torch.nn.Module, trained_blocks: int) -> None:
    """Freeze all but the head and the last blocks, with the statistics of their batch normalisations.

    `timm.utils.unfreeze` makes it a plain net again.

    Parameters
    ----------
    net : Module
        Of timm.
    trained_blocks : int
        0 leaves the head alone.

    Raises
    ------
    UserError
        If the net has no more blocks than that.
    """
    depth = depths(net)
    frozen = {name for name in depth if depth[name] > trained_blocks}
    if not frozen:
        raise UserError(f"trained_blocks {trained_blocks}: the net has {max(depth.values())} blocks; leave it out")
    for name, weight in net.named_parameters():
        weight.requires_grad_(name not in frozen)
    norms = [name for name, module in net.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for name in norms:
        if f"{name}.weight" in frozen:
            freeze(net, name)  # which also stops its mean and variance


def parameter_groups(
    net: torch.nn.Module, learning_rate: float, weight_decay: float, layer_decay: float = 1.0
) -> list[dict]:
    """What an optimizer takes: each weight that learns, with its learning rate and weight decay.

    Parameters
    ----------
    net : Module
        Of timm.
    learning_rate : float
        Of the head.
    weight_decay : float
        Of matrices and filters; biases and normalisations have none.
    layer_decay : float
        The learning rate of a block is this times that of the one behind it.

    Examples
    --------
    >>> import timm
    >>> net = timm.create_model("test_efficientnet", num_classes=2)
    >>> sorted({round(group["lr"], 4) for group in parameter_groups(net, 0.1, 0.0, 0.5)})
    [0.0016, 0.0031, 0.0063, 0.0125, 0.025, 0.05, 0.1]
    """
    depth, groups = depths(net), {}
    for name, weight in net.named_parameters():
        if weight.requires_grad:
            decays = weight.ndim > 1 and not name.endswith(".bias")
            groups.setdefault((decays, layer_decay ** depth[name]), []).append(weight)
    return [
        {"params": weights, "lr": learning_rate * scale, "weight_decay": weight_decay * decays}
        for (decays, scale), weights in sorted(groups.items(), key=lambda group: group[0])
    ]
