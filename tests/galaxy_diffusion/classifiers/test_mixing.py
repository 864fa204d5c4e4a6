"""Mixing: targets are the shares of the pixels, and the shares are distributed as in the papers."""

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from galaxy_diffusion.classifiers.augmentation import DRAWS
from galaxy_diffusion.classifiers.mixing import MIXUP_ALPHA, cutmix, mixup, sample_pairing

N = 2000
BLACK, WHITE = torch.zeros(N, 3, 16, 16), torch.ones(N, 3, 16, 16)
FIRST, SECOND = torch.tensor([1.0, 0.0]).expand(N, 2), torch.tensor([0.0, 1.0]).expand(N, 2)


def draws() -> torch.Tensor:
    return torch.rand(N, DRAWS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_a_target_says_which_share_of_the_image_is_whose(mix):
    images, targets = mix(BLACK, WHITE, FIRST, SECOND, draws())
    torch.testing.assert_close(images.mean(dim=(1, 2, 3)), targets[:, 1])
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(N))


def test_mixups_share_is_beta_distributed_and_an_images_own():
    images, targets = mixup(BLACK, WHITE, FIRST, SECOND, draws())
    assert torch.equal(images.amin(dim=(1, 2, 3)), images.amax(dim=(1, 2, 3)))
    assert kstest(targets[:, 1].double().numpy(), beta(MIXUP_ALPHA, MIXUP_ALPHA).cdf).pvalue > 0.01


def test_cutmix_takes_one_rectangle_of_at_most_the_share_drawn():
    drawn = draws()
    images, targets = cutmix(BLACK, WHITE, FIRST, SECOND, drawn)
    inside = images[:, 0] == 1
    assert torch.equal(inside, inside.any(dim=2, keepdim=True) & inside.any(dim=1, keepdim=True))
    drawn[:, 1:3] = 0.5  # in the middle nothing is cut off
    _, targets = cutmix(BLACK, WHITE, FIRST, SECOND, drawn)
    assert (targets[:, 1] - drawn[:, 0]).abs().max() < 2 / 16
    assert kstest(drawn[:, 0].numpy(), "uniform").pvalue > 0.01


def test_sample_pairing_is_on_when_its_author_has_it_on():
    progress = torch.from_numpy((np.arange(N) + 0.5) / N)
    mixed = sample_pairing(BLACK, WHITE, progress).mean(dim=(1, 2, 3))
    assert set(mixed.tolist()) == {0.0, 0.5}
    on = mixed == 0.5
    assert not on[progress < 0.1].any()
    assert not on[progress >= 0.8].any()
    assert on[(progress >= 0.1) & (progress < 0.8)].float().mean().item() == pytest.approx(0.8, abs=0.01)
