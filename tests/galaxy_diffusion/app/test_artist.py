"""What the page draws is what generate.py draws, within bounds."""

import numpy as np
import pytest
import torch

from galaxy_diffusion.app.artist import DETERMINISTIC, FRAMES, MAX_STEPS, QUICK, VARIATIONS, Artist, check_bounds
from galaxy_diffusion.sampling.schedulers import DEFAULT, SCHEDULERS, STOCHASTIC
from gz2_dataset import UserError


@pytest.fixture(scope="module")
def artist(tiny_model) -> Artist:
    return Artist(str(tiny_model), torch.device("cpu"))


def test_samplers_that_would_keep_a_visitor_waiting_are_not_offered():
    assert "ddpm" not in QUICK
    assert DEFAULT in QUICK
    assert max(SCHEDULERS[name].steps for name in QUICK) <= MAX_STEPS
    assert DETERMINISTIC not in STOCHASTIC


def test_a_dream_ends_with_the_image_that_generate_draws(artist):
    *_, last = artist.dream("spiral", 3, 1.0, DEFAULT)
    np.testing.assert_array_equal(last, artist.draw("spiral", 3))


def test_samplers_do_not_disturb_each_other(artist):
    before = artist.draw("spiral", 3)
    other = list(artist.dream("spiral", 3, 2.0, "heun"))[-1]
    assert np.abs(other.astype(int) - before).max() > 1
    np.testing.assert_array_equal(artist.draw("spiral", 3), before)


def test_the_way_from_one_to_another_has_both_ends(artist):
    frames = artist.between(("edge_on", 1), ("spiral", 2))
    assert frames.shape == (FRAMES, 32, 32, 3)
    *_, first = artist.dream("edge_on", 1, 1.0, DETERMINISTIC)
    assert np.abs(frames[0].astype(int) - first).max() <= 1


def test_weak_variations_stay_near_the_galaxy_and_strong_ones_leave_it(artist):
    galaxy = np.full((40, 40, 3), 200, np.uint8)
    weak, strong = (artist.vary(galaxy, "spiral", 5, strength).astype(int) for strength in (0.05, 1.0))
    assert weak.shape == (VARIATIONS, 32, 32, 3)
    assert np.abs(weak - 200).mean() < np.abs(strong - 200).mean() / 2
    assert np.abs(weak[0] - weak[1]).max() > 0, "each variation has its own seed"


@pytest.mark.parametrize("values", [{"seed": -1}, {"seed": None}, {"guidance_scale": 99.0}, {"strength": float("nan")}])
def test_numbers_out_of_bounds_are_refused_in_one_line(values):
    with pytest.raises(UserError, match="is not a number from"):
        check_bounds(**values)


def test_unknown_classes_and_samplers_are_refused(artist):
    with pytest.raises(UserError, match=r"class 'ring': is not one of .*spiral"):
        artist.draw("ring", 0)
    with pytest.raises(UserError, match=r"scheduler 'ddpm': is not one of"):
        list(artist.dream("spiral", 0, 1.0, "ddpm"))
