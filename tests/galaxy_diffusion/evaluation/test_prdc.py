"""Precision, recall, density and coverage: a slow reference and what the figures mean."""

import numpy as np
import pytest

from galaxy_diffusion.evaluation.prdc import NAMES, default_k, prdc, prdc_values


def slow_prdc(real: np.ndarray, generated: np.ndarray, k: int) -> dict[str, float]:
    def distance(x, y):
        return float(np.sqrt(((x - y) ** 2).sum()))

    def radius(x, among, i):
        return sorted(distance(x, y) for j, y in enumerate(among) if j != i)[k - 1]

    real_radius = [radius(x, real, i) for i, x in enumerate(real)]
    generated_radius = [radius(x, generated, i) for i, x in enumerate(generated)]
    inside = [[distance(x, y) <= r for x, r in zip(real, real_radius, strict=True)] for y in generated]
    reached = [[distance(x, y) <= r for y, r in zip(generated, generated_radius, strict=True)] for x in real]
    return {
        "precision": np.mean([any(row) for row in inside]),
        "recall": np.mean([any(row) for row in reached]),
        "density": np.mean([sum(row) for row in inside]) / k,
        "coverage": np.mean([any(column) for column in zip(*inside, strict=True)]),
    }


@pytest.mark.parametrize(("n_real", "n_generated", "k"), [(30, 20, 3), (15, 40, 5), (12, 12, 1)])
def test_figures_are_those_of_a_slow_reference(n_real, n_generated, k):
    rng = np.random.default_rng(k)
    real, generated = rng.normal(size=(n_real, 6)), 0.8 * rng.normal(size=(n_generated, 6)) + 0.3
    expected = slow_prdc(real, generated, k)
    assert prdc_values(real, generated, k) == pytest.approx(expected)
    assert {name: found.value for name, found in prdc(real, generated, k).items()} == pytest.approx(expected)


def clusters(n: int, of: range, seed: int) -> np.ndarray:
    """Images of several kinds, far apart."""
    rng = np.random.default_rng(seed)
    centres = 20 * np.eye(8)
    return np.concatenate([centres[c] + rng.normal(size=(n // len(of), 8)) for c in of])


def test_a_second_sample_gets_what_a_set_of_real_images_gets():
    found = prdc(clusters(200, range(4), 0), clusters(200, range(4), 1))
    assert all(0.8 < found[name].value < 1.2 for name in NAMES)


def test_mode_collapse_keeps_precision_and_loses_recall_and_coverage():
    found = prdc(clusters(200, range(4), 0), clusters(200, range(1), 1))
    assert found["precision"].low > 0.7
    assert found["recall"].high < 0.4
    assert found["coverage"].high < 0.4


def test_noise_loses_everything():
    noise = 30 * np.random.default_rng(1).normal(size=(200, 8))
    found = prdc(clusters(200, range(4), 0), noise)
    assert found["precision"].high < 0.1
    assert found["density"].value < 0.1
    assert found["coverage"].high < 0.1


def test_every_interval_holds_its_figure_and_small_sets_have_wider_ones():
    def width(n):
        found = prdc(clusters(n, range(4), 0), clusters(n, range(4), 1))
        assert all(found[name].low <= found[name].value <= found[name].high for name in NAMES)
        return {name: found[name].high - found[name].low for name in NAMES}

    few, many = width(40), width(400)
    assert all(few[name] > many[name] for name in NAMES), (few, many)


def test_small_sets_get_small_balls():
    assert default_k(5000, 99) == 3
    assert default_k(100, 100) == 5
