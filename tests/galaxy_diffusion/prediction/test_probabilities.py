"""Probabilities of several classifiers: Bayes' rule for another prior, the temperature of a known law, the spread."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm

from galaxy_diffusion.prediction.probabilities import fit_temperature, parse_prior, predict, prior_shift
from gz2_dataset import UserError


def test_mean_spread_entropy_and_agreement_are_those_by_hand():
    each = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.6, 0.3]])
    found = predict(np.log(each)[:, None])
    np.testing.assert_allclose(found.mean[0], [0.3, 1.6 / 3, 0.5 / 3])
    np.testing.assert_allclose(found.std[0], np.std(each, axis=0, ddof=1))
    assert found.label.tolist() == [1]
    assert found.agreement[0] == pytest.approx(2 / 3)
    assert found.entropy[0] == pytest.approx(-sum(p * np.log(p) for p in found.mean[0]))


def test_one_classifier_has_no_spread_and_agrees_with_itself():
    found = predict(np.random.default_rng(0).normal(size=(1, 5, 3)))
    assert (found.std == 0).all()
    assert (found.agreement == 1).all()


def test_another_prior_gives_the_posterior_of_bayes():
    """Two Gaussian classes: the exact posterior for 1:9 becomes the exact posterior for 7:3."""
    x = np.linspace(-3, 4, 50)
    density = np.stack([norm.pdf(x), norm.pdf(x, loc=1)], axis=1)
    trained, wanted = np.array([0.1, 0.9]), np.array([0.7, 0.3])
    found = predict(np.log(trained * density)[None], shift=prior_shift(wanted, np.log(trained))[None])
    posterior = wanted * density
    np.testing.assert_allclose(found.mean, posterior / posterior.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_of_overconfident_logits_is_found(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 3))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    found = fit_temperature(softmax(true * logits, axis=1), labels)
    assert found == pytest.approx(true, rel=0.05)
    np.testing.assert_allclose(predict((true * logits)[None], np.array([true])).mean, softmax(logits, axis=1))


def test_a_temperature_comes_before_the_prior():
    logits, shift = np.array([[[2.0, 0.0]]]), np.log([[0.2, 0.8]])
    found = predict(logits, np.array([2.0]), shift)
    np.testing.assert_allclose(found.mean, softmax(logits[0] / 2 + shift, axis=1))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a=0.5", "each class once; write for instance a=0.5,b=0.5"),
        ("a=0.5,b=0.5,c=0.1", "each class once"),
        ("a=0.5,a=0.5", "each class once"),
        ("a=0.5,b=half", "half"),
        ("a=0,b=1", "above 0"),
        ("a=nan,b=1", "above 0"),
        ("a=10,b=90", "add up to 1, not 100"),
    ],
)
def test_a_prior_that_is_none_is_one_line(text, complaint):
    with pytest.raises(UserError, match=complaint):
        parse_prior(text, ["a", "b"])
