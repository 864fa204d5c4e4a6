"""The loss of a classifier: cross entropy, with class weights, focal modulation and smoothed or mixed labels."""

import numpy as np
import torch
from torch.nn import functional as F


class ClassificationLoss:
    r"""Mean over the images of :math:`-\sum_c w_c\, t_c\, (1 - p_c)^\gamma \log p_c`.

    Here p is the softmax of the logits and t the target: one for the image's class, or a share for each class where
    images are mixed. With ``focal_gamma`` 0 and no weights this is the cross entropy; with 1 or more, images that are
    already classified well count less [1]_. It takes the place of ``loss_function`` in a model of transformers.

    Parameters
    ----------
    weights : ndarray of float, shape (classes,), optional
        Of each class; see `inverse_frequency`.
    focal_gamma : float
    label_smoothing : float
        Share of the target that is spread evenly over all classes.

    References
    ----------
    .. [1] Lin, T.-Y. et al. 2017, ICCV, 2999

    Examples
    --------
    >>> ClassificationLoss()(torch.tensor([0]), torch.zeros(1, 4))
    tensor(1.3863)
    """

    def __init__(self, weights: np.ndarray | None = None, focal_gamma: float = 0.0, label_smoothing: float = 0.0):
        self.weights = None if weights is None else torch.as_tensor(weights, dtype=torch.float32)
        self.focal_gamma, self.label_smoothing = focal_gamma, label_smoothing

    def __call__(self, labels: torch.Tensor, logits: torch.Tensor, *_, **__) -> torch.Tensor:
        """The loss in float32.

        Parameters
        ----------
        labels : Tensor of int64, shape (B,), or of float32, shape (B, classes)
        logits : Tensor, shape (B, classes)
        """
        logits = logits.float()
        num_classes = logits.shape[1]
        targets = F.one_hot(labels, num_classes).float() if labels.ndim == 1 else labels
        targets = (1 - self.label_smoothing) * targets + self.label_smoothing / num_classes
        if self.focal_gamma:
            targets = targets * (1 - logits.softmax(dim=1)) ** self.focal_gamma
        weights = None if self.weights is None else self.weights.to(logits.device)
        return F.cross_entropy(logits, targets, weights)


def inverse_frequency(counts: np.ndarray) -> np.ndarray:
    """Weights that give every class the same sum: proportional to 1 / images, with mean 1 over the images.

    These are the "balanced" weights of `sklearn.utils.class_weight.compute_class_weight`, which takes labels instead of
    counts and cannot handle a class without images.

    Parameters
    ----------
    counts : ndarray of int, shape (classes,)
        Training images of each class; a class without any weighs 0.

    Examples
    --------
    >>> inverse_frequency(np.array([30, 10]))
    array([0.66666667, 2.        ])
    """
    present = counts > 0
    return np.where(present, counts.sum() / (present.sum() * np.maximum(counts, 1)), 0.0)
