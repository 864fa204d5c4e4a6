"""Distances of measures on tables of numbers with known distances, and failures that are counted."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from galaxy_diffusion.evaluation.floors import Sets
from galaxy_diffusion.evaluation.morphology import FLAGS, MEASURES
from galaxy_diffusion.evaluation.morphology_distances import compare_morphology, failures, ks_distance


def table(n: int, seed: int, **shifts: float) -> pd.DataFrame:
    """Measures of mean 0 and spread 1, some shifted."""
    rng = np.random.default_rng(seed)
    values = pd.DataFrame(rng.normal(size=(n, len(MEASURES))), columns=list(MEASURES))
    for name, shift in shifts.items():
        values[name] += shift
    return values.assign(**dict.fromkeys(FLAGS, 0))


def test_the_ks_distance_is_scipys():
    first, second = (np.random.default_rng(i).integers(0, 9, n) for i, n in ((0, 40), (1, 70)))
    assert ks_distance(first, second) == pytest.approx(ks_2samp(first, second).statistic)


SETS = [Sets(np.arange(150), np.arange(150, 300), np.arange(200))]


def test_a_shift_by_the_spread_is_1_whatever_the_units_and_the_rest_lies_in_the_floor():
    real, generated = table(300, 0), table(200, 1, gini=1.0)
    for each in (real, generated):
        each["half_light_radius"] *= 1000
    figures = compare_morphology(real, generated, SETS)
    assert figures["wasserstein_gini"].value == pytest.approx(1.0, abs=0.3)
    assert figures["wasserstein_gini"].low > figures["wasserstein_gini"].floor_high
    assert figures["ks_gini"].value == pytest.approx(0.38, abs=0.12)
    radius = figures["wasserstein_half_light_radius"]
    assert radius.low < radius.floor_high < 0.5
    inside = [f.low <= f.floor_high for m, f in figures.items() if "gini" not in m]
    assert np.mean(inside) > 0.9
    for figure in figures.values():
        assert figure.low <= figure.value <= figure.high


def test_failures_are_counted_beside_each_figure():
    real, generated = table(300, 0), table(200, 1)
    real.loc[:14, ["m20", "flag"]] = [np.nan, 2]
    generated.loc[:39, ["m20", "flag"]] = [np.nan, 4]
    figures = compare_morphology(real, generated, SETS)
    assert (figures["wasserstein_m20"].failed_real, figures["wasserstein_m20"].failed_generated) == (15, 30)  # of 150
    assert (figures["ks_gini"].failed_real, figures["ks_gini"].failed_generated) == (0, 0)
    assert figures["wasserstein_m20"].n_generated == 150
    assert (failures(real).sum(), failures(generated).sum()) == (15, 40)


def test_a_measure_that_fails_on_all_but_a_few_has_no_figure():
    real, generated = table(300, 0), table(200, 1)
    generated.loc[5:, "sersic_index"] = np.nan
    figures = compare_morphology(real, generated, SETS)
    assert "wasserstein_sersic_index" not in figures
    assert "wasserstein_ellipticity" in figures
    assert compare_morphology(real, generated, [Sets(np.arange(5), np.arange(5, 9), np.arange(4))]) == {}
