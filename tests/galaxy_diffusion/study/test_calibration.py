"""The calibration error of probabilities whose truth is known."""

import numpy as np
import pytest

from galaxy_diffusion.study.calibration import BINS, calibration


def simulate(rng, n, seeds=1, right_less=0.0):
    """Two classes; the first is predicted with a confidence in 0.5 ... 1 and right that often, less ``right_less``."""
    confidence = rng.uniform(0.6, 1.0, (seeds, n))
    labels = (rng.random(n) > confidence[0] - right_less).astype(int)
    confidence[1:] = confidence[0]
    return labels, np.stack([confidence, 1 - confidence], axis=-1)


def test_the_error_of_exact_probabilities_falls_to_nothing_and_to_the_floor():
    rng = np.random.default_rng(0)
    small, large = (calibration(*simulate(rng, n), replicates=50) for n in (300, 100_000))
    assert large.error < 0.008
    assert large.error == pytest.approx(large.floor, abs=0.003)
    assert small.error == pytest.approx(small.floor, abs=0.03)
    assert small.floor > 5 * large.floor


def test_the_error_of_overconfident_probabilities_is_how_far_they_are_too_high():
    found = calibration(*simulate(np.random.default_rng(1), 50_000, right_less=0.15), replicates=100)
    assert found.error == pytest.approx(0.15, abs=0.01)
    assert found.low < 0.15 < found.high
    assert found.confidence - found.accuracy == pytest.approx(0.15, abs=0.01)


@pytest.mark.slow
def test_the_interval_covers_the_error_95_times_of_100():
    rng, covered, simulations = np.random.default_rng(2), 0, 200
    for _ in range(simulations):
        found = calibration(*simulate(rng, 400, right_less=0.2), replicates=200)
        covered += found.low <= 0.2 <= found.high
    assert covered / simulations == pytest.approx(0.95, abs=0.05)


def test_the_error_is_the_mean_over_bins_computed_one_by_one():
    rng = np.random.default_rng(3)
    labels, probabilities = simulate(rng, 500)
    probabilities[0, :10] = 0.5  # on no edge of a bin
    probabilities[0, 10:20] = [1.0, 0.0]  # on the last edge
    sure = probabilities[0].max(axis=1)
    slow = 0.0
    for b in range(BINS):
        inside = (sure > b / BINS) & (sure <= (b + 1) / BINS)
        if inside.any():
            right = (probabilities[0].argmax(axis=1) == labels)[inside]
            slow += inside.mean() * abs(right.mean() - sure[inside].mean())
    found = calibration(labels, probabilities, replicates=10)
    assert found.error == pytest.approx(slow)
    assert found.curve[:, 2].sum() == 500
    assert np.isnan(found.curve[:7, 0]).all()


def test_a_point_of_the_curve_that_rests_on_few_galaxies_is_not_read():
    probabilities = np.tile([0.8, 0.2], (3, 25, 1))  # three seeds do not make 19 galaxies more
    probabilities[:, :6] = [0.6, 0.4]
    few = calibration(np.zeros(25, int), probabilities, replicates=10)
    assert few.readable.shape == (0, 3)
    many = calibration(np.zeros(30, int), np.tile([0.8, 0.2], (3, 30, 1)), replicates=10)
    assert many.readable.tolist() == [[pytest.approx(0.8), 1.0, 30.0]]


def test_seeds_are_averaged_not_ensembled():
    labels, probabilities = simulate(np.random.default_rng(4), 2000)
    twice = calibration(labels, np.repeat(probabilities, 2, axis=0), replicates=50)
    once = calibration(labels, probabilities, replicates=50)
    assert twice.error == pytest.approx(once.error)
    assert twice.high - twice.low == pytest.approx(once.high - once.low)
