"""Remedies that mix each training image with another one: MixUp, CutMix and SamplePairing.

As `timm.data.Mixup` with mode "elem", but the draws of each image are arguments instead of coming from a global
generator, so that a run that resumes after an interruption mixes as if there had been none.
"""

import torch
from scipy.special import betaincinv

from galaxy_diffusion.classifiers.augmentation import boxes

MIXUP_ALPHA = 0.2
"""Both parameters of the Beta distribution of MixUp's weights; its authors took 0.1 to 0.4 for ImageNet."""


def mixup(
    images: torch.Tensor, others: torch.Tensor, targets: torch.Tensor, other_targets: torch.Tensor, draws: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted means of two images and of their targets; the weight is Beta(0.2, 0.2) distributed [1]_.

    Parameters
    ----------
    images, others : Tensor of float32, shape (B, C, H, W)
    targets, other_targets : Tensor of float32, shape (B, classes)
    draws : Tensor of float64 in [0, 1), shape (B, 1) or more

    Returns
    -------
    images, targets : Tensor of float32

    References
    ----------
    .. [1] Zhang, H. et al. 2018, ICLR
    """
    share = torch.from_numpy(betaincinv(MIXUP_ALPHA, MIXUP_ALPHA, draws[:, 0].numpy())).float()
    return images.lerp(others, share.view(-1, 1, 1, 1)), targets.lerp(other_targets, share[:, None])


def cutmix(
    images: torch.Tensor, others: torch.Tensor, targets: torch.Tensor, other_targets: torch.Tensor, draws: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A square of each image is replaced by the other image; targets are mixed by its area, drawn uniformly [1]_.

    Parameters, returns
        As of `mixup`, with three draws or more.

    References
    ----------
    .. [1] Yun, S. et al. 2019, ICCV, 6022
    """
    sides = draws[:, :1].sqrt().expand(-1, 2)
    inside = boxes(draws[:, 1:3] - sides / 2, sides, images.shape[-1])
    share = inside.float().mean(dim=(1, 2, 3))
    return torch.where(inside, others, images), targets.lerp(other_targets, share[:, None])


def sample_pairing(images: torch.Tensor, others: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
    """The mean of two images, which keeps the label of the first [1]_.

    Mixing is off during the first tenth and the last fifth of the training, and in between for a fifth of each
    hundredth: its author's schedule for CIFAR-10 (8 epochs on and 2 off, from the 100th to the 800th of 1,000).

    Parameters
    ----------
    images, others : Tensor of float32, shape (B, C, H, W)
    progress : Tensor of float64 in [0, 1), shape (B,)
        Where in the training each image is seen.

    References
    ----------
    .. [1] Inoue, H. 2018, arXiv:1801.02929
    """
    on = (progress >= 0.1) & (progress < 0.8) & (100 * progress % 1 < 0.8)
    return torch.where(on.view(-1, 1, 1, 1), (images + others) / 2, images)
