"""A probe cannot separate samples of one kind, and finds the traces of JPEG."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from galaxy_diffusion.evaluation.floors import Sets
from galaxy_diffusion.evaluation.probe import auc, auc_of_probe, components, pixel_features, probe, spectrum_features
from gz2_dataset.arrays import jpeg_round_trip
from tests.conftest import draw_toy_galaxy


def galaxies(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([np.asarray(draw_toy_galaxy("spiral", rng, 32)) for _ in range(n)])


def told_apart(real: np.ndarray, generated: np.ndarray) -> float:
    shorten = components(np.concatenate([real, generated]))
    return auc_of_probe(shorten(real), shorten(generated))


def test_the_auc_is_scikit_learns():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, 40), rng.integers(1, 6, 30)
    expected = roc_auc_score(np.repeat([0, 1], [40, 30]), np.concatenate([first, second]))
    assert auc(first, second) == pytest.approx(expected)


def test_one_distribution_cannot_be_told_from_itself_but_a_shift_can():
    rng = np.random.default_rng(0)
    real, same, other = rng.normal(size=(200, 20)), rng.normal(size=(150, 20)), rng.normal(0.5, 1, size=(150, 20))
    sets = Sets(np.arange(100), np.arange(100, 200), np.arange(150))
    found, wrong = (probe(real, x, sets, "test")["probe_auc_test"] for x in (same, other))
    assert found.low < 0.5 < found.high + 0.05
    assert wrong.low > wrong.floor_high
    assert wrong.floor == pytest.approx(0.5, abs=0.07)
    assert (wrong.n_real, wrong.n_generated) == (100, 100)


@pytest.mark.parametrize("describe", [pixel_features, spectrum_features])
def test_galaxies_of_one_kind_look_alike_to_the_probes(describe):
    assert 0.3 < told_apart(describe(galaxies(80, 0)), describe(galaxies(80, 1))) < 0.7


def test_the_traces_of_jpeg_are_a_shortcut_that_the_common_path_closes():
    raw, generated = galaxies(80, 0), galaxies(80, 1)
    # Coarse chroma, as of a file of quality 75: what a careless pipeline would leave in one class only.
    generated = np.stack([jpeg_round_trip(np.tile(image, (7, 7, 1)))[:32, :32] for image in generated])
    real = np.stack([jpeg_round_trip(np.tile(image, (7, 7, 1)))[:32, :32] for image in raw])
    before, after = (told_apart(spectrum_features(x), spectrum_features(generated)) for x in (raw, real))
    assert before > 0.95
    assert after < 0.7
