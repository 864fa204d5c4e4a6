"""Where in an image a classifier looks: the size of the gradient of its own class's logit [1]_, averaged over images.

Each image's map is divided by its sum, so that all count equally. The galaxy is in the middle of every image, so the
mean says how much of the attention goes to the galaxy and how much to the sky around it.

References
----------
.. [1] Simonyan, K., Vedaldi, A. & Zisserman, A. 2014, ICLR workshop
"""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure

from galaxy_diffusion.evaluation.features import FeatureNet
from galaxy_diffusion.shared.drawing import photograph
from galaxy_diffusion.shared.names import class_title

BATCH = 64


def mean_saliency(net: FeatureNet, images: np.ndarray, label: int) -> np.ndarray:
    """Mean share of the attention that falls on each pixel, in units of an even share.

    Parameters
    ----------
    net : FeatureNet
        Returns logits (B, classes).
    images : ndarray of uint8, shape (N, S, S, 3)
    label : int
        The class whose logit is used.

    Returns
    -------
    ndarray, shape (S, S)
        Its mean is 1.
    """
    total = np.zeros(images.shape[1:3])
    for start in range(0, len(images), BATCH):
        pixels = torch.from_numpy(np.array(images[start : start + BATCH])).float().requires_grad_()
        (gradient,) = torch.autograd.grad(net(pixels.clone())[:, label].sum(), pixels)
        maps = gradient.abs().sum(dim=3)
        total += (maps / maps.mean(dim=(1, 2), keepdim=True).clamp(min=1e-30)).sum(dim=0).numpy()
    return total / len(images)


def saliency_figure(maps: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Mean saliency on real and on generated images and the difference, one row per class."""
    figure = Figure(figsize=(8.6, 0.4 + 2.6 * len(maps)), layout="constrained")
    for row, (name, (real, generated)) in zip(figure.subplots(len(maps), 3, squeeze=False), maps.items(), strict=True):
        top, off = max(real.max(), generated.max()), np.abs(generated - real).max()
        for axes, pixels, head, colours, limits in (
            (row[0], real, "real", "magma", (0, top)),
            (row[1], generated, "generated", "magma", (0, top)),
            (row[2], generated - real, "generated − real", "RdBu_r", (-off, off)),
        ):
            drawn = axes.imshow(pixels, cmap=colours, vmin=limits[0], vmax=limits[1])
            axes.set_title(f"{class_title(name)}: {head}", fontsize=9)
            axes.axis("off")
            figure.colorbar(drawn, ax=axes, shrink=0.8).ax.tick_params(labelsize=8)
    figure.suptitle("Where the classifier looks: gradient of the class's logit, 1 is an even share", fontsize=10)
    return photograph(figure, bits=6)
