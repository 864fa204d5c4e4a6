"""Relations of measures in drawn populations: the same one, the same marginals without a relation, a part of it."""

import numpy as np
import pandas as pd
import pytest

from galaxy_diffusion.evaluation.floors import choose_sets
from galaxy_diffusion.evaluation.relations import COLUMNS, VECTOR, compare_relations, energy_distance

N = 150


@pytest.fixture(scope="module", autouse=True)
def few_splits():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galaxy_diffusion.evaluation.floors.SPLITS", 8)  # most of the time goes into floors
        yield


def galaxies(n: int, seed: int) -> pd.DataFrame:
    """Redder where they are more concentrated and more inclined; all other measures independent."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, len(VECTOR))), columns=[*VECTOR])
    table["blue_minus_green"] += 1.5 * table["concentration"] + table["ellipticity"]
    return table


def compared(generated: pd.DataFrame) -> dict:
    sets = choose_sets(np.arange(N), np.arange(N, 2 * N), np.arange(len(generated)))
    return compare_relations(galaxies(2 * N, 0), generated, [sets])


@pytest.fixture(scope="module")
def same() -> dict:
    return compared(galaxies(N, 1))


@pytest.fixture(scope="module")
def shuffled() -> dict:
    """The same marginals, but the colours belong to other galaxies."""
    table = galaxies(N, 1)
    order = np.random.default_rng(2).permutation(N)
    return compared(table.assign(blue_minus_green=table["blue_minus_green"].to_numpy()[order]))


def test_two_samples_of_one_population_give_the_floor(same):
    names = {"energy_distance", "correlation_colour_concentration", "correlation_colour_ellipticity", "cells_filled"}
    assert set(same) == names | {"probe_auc_morphology"}
    for name, figure in same.items():
        assert figure.low <= figure.floor_high, name
        assert figure.high >= figure.floor_low, name
        assert (figure.n_real, figure.n_generated) == (N, N)


def test_a_relation_that_is_lost_is_found_though_no_marginal_has_changed(shuffled):
    assert shuffled["probe_auc_morphology"].low > shuffled["probe_auc_morphology"].floor_high
    assert shuffled["energy_distance"].low > 0
    assert shuffled["energy_distance"].value > 2 * shuffled["energy_distance"].floor_high
    for name in ("correlation_colour_concentration", "correlation_colour_ellipticity"):
        assert shuffled[name].high < shuffled[name].floor_low, name
    assert shuffled["correlation_colour_concentration"].value == pytest.approx(-0.67, abs=0.15)


def test_a_generator_of_average_galaxies_leaves_cells_empty(same):
    average = galaxies(N, 1)
    average = average.assign(**{name: average[name] / 4 for name in VECTOR})
    found = compared(average)["cells_filled"]
    assert found.high < found.floor_low
    assert found.value < 0.5 < same["cells_filled"].value


def test_the_energy_distance_of_shifted_clouds_is_that_of_the_integral():
    """Points on a line, a far shift d: 2 d less the mean distances within each, 2 / sqrt(pi) for a unit normal."""
    rng, size = np.random.default_rng(0), (1000, len(COLUMNS) + 1)
    real, generated = np.zeros(size), np.zeros(size)
    real[:, -1], generated[:, -1] = rng.normal(size=1000), rng.normal(20, 1, 1000)
    assert energy_distance(real, generated) == pytest.approx(2 * 20 - 4 / np.sqrt(np.pi), rel=0.01)


def test_on_average_it_is_0_for_few_galaxies_of_one_population():
    rng = np.random.default_rng(0)
    found = [energy_distance(*rng.normal(size=(2, 12, len(COLUMNS) + 3))) for _ in range(300)]
    assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / np.sqrt(300))


def test_galaxies_that_cannot_be_measured_take_no_part_and_few_give_nothing():
    table = galaxies(N, 1)
    table.loc[20:, "gini"] = np.nan
    assert compared(table)["energy_distance"].n_generated == 20
    table.loc[5:, "gini"] = np.nan
    assert compared(table) == {}
