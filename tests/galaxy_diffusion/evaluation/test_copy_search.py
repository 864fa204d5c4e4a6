"""The threshold of a copy, and the record of what a search finds."""

import numpy as np
import pytest
from scipy.stats import binomtest

from galaxy_diffusion.evaluation.copy_search import copy_threshold, power_rows, prepare_search
from galaxy_diffusion.evaluation.rings import measure
from tests.conftest import draw_clumpy_galaxies


@pytest.mark.parametrize(("n", "rank"), [(5, 1), (99, 1), (199, 2), (1000, 10)])
def test_the_threshold_lets_one_galaxy_in_a_hundred_through(n, rank):
    no_copies = np.random.default_rng(0).permutation(n) / n
    threshold = copy_threshold(no_copies)
    assert (no_copies <= threshold.relative).sum() == rank
    assert (threshold.false_positives, threshold.n) == (rank / (n + 1), n)


def test_a_class_without_real_galaxies_takes_the_threshold_of_all_others():
    seen, held_out = measure(draw_clumpy_galaxies(60, 0)), measure(draw_clumpy_galaxies(20, 1))
    search = prepare_search(seen, np.repeat([0, 1, -1], 20), held_out, np.repeat([0, 1], 10), [0, 1, 2])
    by_class = [search.thresholds[c] for c in range(3)]
    assert [t.n for t in by_class] == [30, 30, 60]
    assert by_class[2].relative == min(by_class[0].relative, by_class[1].relative)
    assert search.limits(np.array([2, 0])).tolist() == [by_class[2].relative, by_class[0].relative]


def test_what_is_found_is_counted_by_class_with_wilsons_interval():
    labels, found = np.repeat([1, 0], [40, 10]), np.arange(50) < 36
    table = power_rows("turned", found, labels, ["round", "spiral"]).set_index("label")
    assert table["n"].to_dict() == {"all": 50, "round": 10, "spiral": 40}
    assert table["found"].to_dict() == {"all": 36, "round": 0, "spiral": 36}
    expected = binomtest(36, 40).proportion_ci(method="wilson")
    assert (table.loc["spiral", "low"], table.loc["spiral", "high"]) == pytest.approx((expected.low, expected.high))
    assert power_rows("turned", found[:0], labels[:0], ["round", "spiral"]).empty
