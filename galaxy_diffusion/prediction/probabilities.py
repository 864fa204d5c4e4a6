"""From the logits of several classifiers to probabilities, their spread, and what they agree on.

A classifier's probabilities carry the mix of classes that it was trained on. For a survey with another mix, the
logarithm of the ratio of both priors is added to the logits (Saerens et al. 2002, Neural Computation, 14, 21). A
temperature that was fitted on validation galaxies divides the logits before that (Guo et al. 2017, ICML,
arXiv:1706.04599).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import entr, log_softmax, softmax

from gz2_dataset import UserError


@dataclass(frozen=True)
class Prediction:
    """What several classifiers say about some images.

    Attributes
    ----------
    mean, std : ndarray, shape (N, classes)
        Probabilities: their mean over the classifiers, and their standard deviation (n - 1; 0 for a single one).
    label : ndarray of int, shape (N,)
        The class of the largest mean.
    entropy : ndarray, shape (N,)
        Of the mean, in nats: 0 is certain, ln(classes) undecided.
    agreement : ndarray, shape (N,)
        Share of the classifiers whose largest probability is that class's.
    """

    mean: np.ndarray
    std: np.ndarray
    label: np.ndarray
    entropy: np.ndarray
    agreement: np.ndarray


def predict(logits: np.ndarray, temperatures: np.ndarray | None = None, shift: np.ndarray | None = None) -> Prediction:
    """Combine the logits of several classifiers.

    Parameters
    ----------
    logits : ndarray, shape (members, N, classes)
    temperatures : ndarray, shape (members,), optional
    shift : ndarray, shape (members, classes), optional
        Logarithm of the wanted prior over that of the training; see `prior_shift`.

    Examples
    --------
    >>> two = predict(np.log([[[0.8, 0.2]], [[0.4, 0.6]]]))
    >>> two.mean.round(3), two.label, two.agreement
    (array([[0.6, 0.4]]), array([0]), array([0.5]))
    """
    logits = logits.astype(np.float64)
    if temperatures is not None:
        logits = logits / temperatures[:, None, None]
    if shift is not None:
        logits = logits + shift[:, None]
    each = softmax(logits, axis=2)
    mean = each.mean(axis=0)
    label = mean.argmax(axis=1)
    return Prediction(
        mean=mean,
        std=each.std(axis=0, ddof=1) if len(each) > 1 else np.zeros_like(mean),
        label=label,
        entropy=entr(mean).sum(axis=1),
        agreement=(each.argmax(axis=2) == label).mean(axis=0),
    )


def parse_prior(text: str, class_names: Sequence[str]) -> np.ndarray:
    """The share of each class as an option gives it, such as ``"spiral=0.9,ring=0.1"``.

    Returns
    -------
    ndarray, shape (classes,)

    Raises
    ------
    UserError
        If a class is missing, unknown or twice, a share is not a number above 0, or they do not add up to 1.

    Examples
    --------
    >>> parse_prior("spiral=0.9,ring=0.1", ["ring", "spiral"])
    array([0.1, 0.9])
    """
    pairs = [pair.rpartition("=") for pair in text.split(",")]
    names = [name.strip() for name, _, _ in pairs]
    example = ",".join(f"{name}={1 / len(class_names):.3g}" for name in class_names)
    if sorted(names) != sorted(class_names):
        raise UserError(f"class_prior {text!r}: it needs each class once; write for instance {example}")
    try:
        shares = {name: float(share) for name, (_, _, share) in zip(names, pairs, strict=True)}
    except ValueError as error:
        raise UserError(f"class_prior {text!r}: {error}; write for instance {example}") from None
    prior = np.array([shares[name] for name in class_names])
    if not (prior > 0).all() or abs(prior.sum() - 1) > 0.01:
        raise UserError(f"class_prior {text!r}: the shares must be above 0 and add up to 1, not {prior.sum():.3g}")
    return prior / prior.sum()


def prior_shift(prior: np.ndarray, log_shares: np.ndarray) -> np.ndarray:
    """What is added to logits, so that their probabilities are those of a survey where the classes have another mix.

    Parameters
    ----------
    prior : ndarray, shape (classes,)
        Of the survey.
    log_shares : ndarray, shape (..., classes)
        Logarithm of the prior of each training.

    Examples
    --------
    >>> prior_shift(np.array([0.5, 0.5]), np.log([0.5, 0.5]))
    array([0., 0.])
    """
    return np.log(prior) - log_shares


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes the probabilities of known galaxies most likely, from 1/20 to 20.

    Parameters
    ----------
    probabilities : ndarray, shape (N, classes)
        Before any temperature.
    labels : ndarray of int, shape (N,)
    """
    logits = np.log(np.clip(probabilities, 1e-30, None))

    def loss(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(labels)), labels].mean()

    bound = np.log(20)
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))
