"""What images are worth in new real galaxies, on learning curves whose formula is known."""

from functools import partial

import numpy as np
import pytest

from galaxy_diffusion.study import comparison as comparison_module
from galaxy_diffusion.study.bootstrap import Bootstrap, bootstrap
from galaxy_diffusion.study.comparison import compare
from galaxy_diffusion.study.endpoints import Question
from galaxy_diffusion.study.exchange import exchange, worth
from galaxy_diffusion.study.runs import Run, Runs

REAL, ADDED = 41, (0, 41, 123, 287)


def figure(value: float, *shifts: np.ndarray) -> Bootstrap:
    """A figure with replicates around it; without shifts it is known exactly."""
    return Bootstrap(np.array(value), value + sum(shifts, np.zeros(4000)))


def after(added: float) -> float:
    """A curve that is straight in the logarithm of the number of real galaxies."""
    return 0.2 + 0.1 * np.log((REAL + added) / REAL)


CURVE = [figure(after(added)) for added in ADDED]
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("truth", [0, 7, 41, 100, 287])
def test_a_figure_on_the_curve_is_worth_the_galaxies_that_give_it(truth):
    found = worth(REAL, ADDED, CURVE, [figure(after(truth))])
    assert found.value == pytest.approx([truth], abs=1e-6)
    assert np.ptp(found.replicates) == pytest.approx(0, abs=1e-6)


def test_less_than_the_curve_is_worth_nothing_and_more_is_worth_its_end():
    assert worth(REAL, ADDED, CURVE, [figure(0.1), figure(0.9)]).value == pytest.approx([0, 287])


def test_what_test_galaxies_do_to_all_arms_alike_does_not_widen_the_interval():
    shift = RNG.normal(0, 0.05, 4000)
    curve = [figure(after(added), shift) for added in ADDED]
    low, high = worth(REAL, ADDED, curve, [figure(after(100), shift)]).interval()
    assert high - low < 1e-6


def test_the_interval_follows_from_the_arms_own_scatter():
    """On this curve a scatter s of the figure is one of 10 s in the logarithm of the number of galaxies."""
    scatter = RNG.normal(0, 0.01, 4000)
    low, high = worth(REAL, ADDED, CURVE, [figure(after(100), scatter)]).interval()
    expected = (REAL + 100) * np.exp(10 * np.percentile(scatter, [2.5, 97.5])) - REAL
    assert [low[0], high[0]] == pytest.approx(expected, abs=0.1)


def test_a_curve_that_falls_by_chance_is_taken_to_rise():
    """0.4 and then 0.3 are both 0.35; half the way from 0.2 there is half the way to the first in the logarithm."""
    curve = [figure(value) for value in (0.2, 0.4, 0.3, 0.5)]
    assert worth(REAL, ADDED, curve, [figure(0.275)]).value == pytest.approx([np.sqrt(41 * 82) - 41])


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(comparison_module, "bootstrap", partial(bootstrap, replicates=400))


def ranked(lost: int) -> np.ndarray:
    """Probabilities in which so many of 60 rings look least like one of all 120 galaxies."""
    ring = np.concatenate([np.full(60 - lost, 0.9), np.full(lost, 0.01), np.linspace(0.1, 0.5, 60)])
    return np.stack([ring, 1 - ring], axis=1)


def compared(**lost: int):
    labels = np.repeat([0, 1], 60)
    runs = {Run("net", arm, seed): ranked(count) for arm, count in lost.items() for seed in range(2)}
    return compare(Runs(("ring", "bar"), labels, runs), Question(("ring", "bar"), "ring"))


def test_the_table_reads_arms_off_the_curve_of_those_with_new_real_galaxies(quick):
    """The arm images loses as many as the middle of the curve; the arm more is better than its end."""
    added = {"original": 0, "images": 328, "more": 5, "ceiling_41": 41, "ceiling": 287, "oversampling": 0}
    found = compared(original=30, images=20, more=5, ceiling=10, oversampling=12, ceiling_41=20)
    table = exchange(found, REAL, added, frozenset({"ceiling", "ceiling_41"}))
    frame = table.frame.set_index("arm")
    assert frame.index.tolist() == ["images", "more"], "an arm that adds nothing has nothing to be worth"
    assert frame["worth"].tolist() == pytest.approx([41, 287], abs=0.1)
    assert (frame["low"] <= frame["worth"]).all()
    assert (frame["worth"] <= frame["high"]).all()
    assert [row[2].text for row in table.rows] == ["41", "287 or more"]
    assert "learning curve of the arms with 0, 41, 287 new ones" in table.notes[0]


def test_without_new_real_galaxies_or_without_original_there_is_no_exchange_rate(quick):
    found, ceilings = compared(original=30, images=20, ceiling=10), frozenset({"ceiling"})
    assert exchange(found, REAL, {"original": 0, "images": 9, "ceiling": 9}, frozenset()) is None
    assert exchange(found, REAL, {"original": 0, "images": 9, "ceiling": 0}, ceilings) is None, "of another class"
    assert exchange(compared(images=20, ceiling=10), REAL, {"images": 9, "ceiling": 9}, ceilings) is None
