"""Intervals against the textbook."""

import numpy as np
import pytest
from scipy.stats import binomtest

from galaxy_diffusion.evaluation.jackknife import jackknife, share_interval, t_interval


def difference_of_means(first: np.ndarray, second: np.ndarray):
    return lambda i, j: second[j].mean() - first[i].mean()


def test_one_image_a_group_gives_the_textbooks_error_of_a_difference_of_means():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=12), rng.normal(size=30)
    value, error, freedom = jackknife(difference_of_means(first, second), 12, 30, groups=30)
    assert value == pytest.approx(second.mean() - first.mean())
    assert error == pytest.approx(np.sqrt(first.var(ddof=1) / 12 + second.var(ddof=1) / 30))
    assert freedom == 11


def test_intervals_hold_the_truth_in_about_95_of_100_draws():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        first, second = rng.exponential(size=60), 0.5 + rng.exponential(size=45)
        interval = t_interval(*jackknife(difference_of_means(first, second), 60, 45))
        held += interval.low <= 0.5 <= interval.high
    assert 0.91 <= held / 300 <= 0.99


@pytest.mark.parametrize(("counted", "n"), [(0, 7), (3, 20), (20, 20)])
def test_a_share_of_independent_images_has_wilsons_interval(counted, n):
    share = counted / n
    expected = binomtest(counted, n).proportion_ci(method="wilson")
    interval = share_interval(share, np.sqrt(share * (1 - share) / n), n)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_larger_error_widens_the_interval_of_a_share_and_a_smaller_one_does_not_narrow_it():
    plain, wide, narrow = (share_interval(0.5, error, 100) for error in (0.05, 0.1, 0.001))
    assert wide.low < plain.low < plain.high < wide.high
    assert narrow == plain


def test_a_figure_that_cannot_be_negative_has_no_negative_end():
    assert t_interval(1.0, 10.0, 19, lowest=0.0).low == 0.0
