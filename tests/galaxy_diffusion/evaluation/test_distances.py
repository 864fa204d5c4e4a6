"""Fréchet and kernel distances: known truths, an independent reference, and what an interval promises."""

import numpy as np
import pytest
import torch

from galaxy_diffusion.evaluation.distances import (
    estimates,
    fid,
    frechet_distance,
    kernel_distance,
    kid,
    unbiased_estimates,
    values,
)


def features(n: int, dim: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Correlated non-negative features, as a network's last pooling gives them."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(dim, dim)) / np.sqrt(dim)
    return np.abs(rng.normal(size=(n, dim)) @ mixing + shift).astype(np.float32)


@pytest.mark.parametrize(("n_real", "n_generated", "dim"), [(300, 200, 32), (40, 90, 128), (150, 60, 96)])
def test_frechet_distance_is_that_of_torch_fidelity(n_real, n_generated, dim):
    reference = pytest.importorskip("torch_fidelity.metric_fid")
    real, generated = features(n_real, dim, 0), features(n_generated, dim, 1, shift=0.2)
    statistics = (reference.fid_features_to_statistics(torch.from_numpy(x).double()) for x in (real, generated))
    expected = reference.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, generated) == pytest.approx(expected, abs=1e-3)


def test_kernel_distance_is_that_of_torch_fidelity():
    reference = pytest.importorskip("torch_fidelity.metric_kid")
    real, generated = features(80, 48, 0), features(80, 48, 1, shift=0.2)
    sets = (torch.from_numpy(x).double() for x in (real, generated))
    found = reference.kid_features_to_metric(*sets, kid_subset_size=80, kid_subsets=1, verbose=False)
    assert kernel_distance(real, generated) == pytest.approx(found["kernel_inception_distance_mean"], rel=1e-9)


def test_two_gaussians_have_their_analytic_distance():
    rng = np.random.default_rng(0)
    real, generated = rng.normal(0, 1, (200_000, 3)), rng.normal(1, 2, (200_000, 3))
    assert frechet_distance(real, generated) == pytest.approx(3 * 1 + 3 * (2 - 1) ** 2, rel=0.02)


def test_equal_sets_have_no_distance_and_order_does_not_matter():
    real, generated = features(50, 64, 0), features(70, 64, 1)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(real, generated) == pytest.approx(frechet_distance(generated, real[::-1]))
    assert kernel_distance(real, generated) == pytest.approx(kernel_distance(generated, real[::-1]))


def test_kid_of_two_samples_of_one_distribution_is_zero_on_average_but_fid_is_not():
    pairs = [(features(25, 32, 2 * i), features(15, 32, 2 * i + 1)) for i in range(200)]
    kids = np.array([kernel_distance(*pair) for pair in pairs])
    assert abs(kids.mean()) < 3 * kids.std() / np.sqrt(len(kids))
    assert (kids < 0).mean() > 0.3
    assert np.mean([frechet_distance(*pair) for pair in pairs[:20]]) > 1


@pytest.mark.parametrize("figure", [fid, kid])
def test_intervals_hold_the_mean_over_many_draws(figure):
    found = [figure(features(40, 16, 2 * i), features(60, 16, 2 * i + 1, shift=0.15)) for i in range(60)]
    mean = np.mean([estimate.value for estimate in found])
    assert np.mean([estimate.low <= mean <= estimate.high for estimate in found]) >= 0.9


def test_a_subset_bounds_the_work_and_the_seed_fixes_it():
    real, generated = features(60, 16, 0), features(60, 16, 1, shift=0.5)
    assert kid(real, generated, subset_size=60).value == pytest.approx(kid(real, generated).value)
    small = kid(real, generated, num_subsets=5, subset_size=20, seed=1)
    assert small == kid(real, generated, num_subsets=5, subset_size=20, seed=1)
    assert small != kid(real, generated, num_subsets=5, subset_size=20, seed=2)
    assert small.high - small.low > kid(real, generated).high - kid(real, generated).low


def test_figures_with_and_without_intervals_are_the_same():
    real, generated = features(30, 16, 0), features(30, 16, 1)
    assert set(estimates(real, generated)) == {"fid", "precision", "recall", "density", "coverage"}
    assert list(unbiased_estimates(real, generated)) == ["kid"]
    all_estimates = estimates(real, generated) | unbiased_estimates(real, generated)
    found = {name: estimate.value for name, estimate in all_estimates.items()}
    assert found == pytest.approx(values(real, generated))
