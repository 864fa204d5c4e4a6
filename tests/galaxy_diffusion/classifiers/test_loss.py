"""The loss against PyTorch's cross entropy, torchvision's focal loss and a sum written out."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from galaxy_diffusion.classifiers.loss import ClassificationLoss, inverse_frequency

torch.manual_seed(0)
LOGITS, LABELS = 3 * torch.randn(40, 5), torch.randint(5, (40,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_remedies_it_is_the_cross_entropy(smoothing):
    loss = ClassificationLoss(label_smoothing=smoothing)(LABELS, LOGITS)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing))


def test_in_bf16_the_loss_is_computed_in_float32():
    assert ClassificationLoss()(LABELS, LOGITS.bfloat16()).dtype == torch.float32


def test_mixed_targets_give_the_mixed_losses():
    other, share = LABELS.roll(1), 0.3
    targets = (1 - share) * F.one_hot(LABELS, 5) + share * F.one_hot(other, 5)
    expected = (1 - share) * F.cross_entropy(LOGITS, LABELS) + share * F.cross_entropy(LOGITS, other)
    torch.testing.assert_close(ClassificationLoss()(targets, LOGITS), expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_of_two_classes_it_is_torchvisions_focal_loss(gamma):
    """The softmax of (0, z) is the sigmoid of z."""
    z, labels = LOGITS[:, 0].clone().requires_grad_(), LABELS % 2
    loss = ClassificationLoss(focal_gamma=gamma)(labels, torch.stack([torch.zeros_like(z), z], dim=1))
    expected = sigmoid_focal_loss(z, labels.float(), alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, z)[0] for value in (loss, expected)))


def test_gamma_one_written_out():
    p = LOGITS.softmax(dim=1)[range(40), LABELS]
    torch.testing.assert_close(ClassificationLoss(focal_gamma=1.0)(LABELS, LOGITS), -((1 - p) * p.log()).mean())


def test_weights_multiply_the_losses_of_their_class():
    weights = np.array([0.5, 1.0, 2.0, 0.0, 3.0])
    losses = F.cross_entropy(LOGITS, LABELS, reduction="none")
    expected = (torch.from_numpy(weights).float()[LABELS] * losses).mean()
    torch.testing.assert_close(ClassificationLoss(weights)(LABELS, LOGITS), expected)


def test_inverse_frequencies_give_every_class_the_same_sum_and_the_mean_image_one():
    counts = np.array([807, 784, 41, 0, 776])
    weights = inverse_frequency(counts)
    assert (counts * weights).sum() / counts.sum() == pytest.approx(1)
    np.testing.assert_allclose((counts * weights)[counts > 0], counts.sum() / 4)
    balanced = compute_class_weight("balanced", classes=np.flatnonzero(counts), y=np.repeat(np.arange(5), counts))
    np.testing.assert_allclose(weights[counts > 0], balanced)
    assert weights[3] == 0
