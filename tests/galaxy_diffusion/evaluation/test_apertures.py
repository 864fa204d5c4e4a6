"""Stars of known width around a galaxy whose inner and outer colours are known."""

import numpy as np
import pytest

pytest.importorskip("photutils")

from galaxy_diffusion.evaluation.apertures import colour_gradient, measure

SIDE = 64


def scene(fwhm: float, seed: int, stars: int = 4) -> np.ndarray:
    """A galaxy with a few stars around it on a noisy sky, uint8 (S, S, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    light = 120 * np.exp(-np.hypot(x, y / 0.7) / 4)
    for angle, peak in zip(
        rng.uniform(0, 2 * np.pi) + np.arange(stars) * 1.5, rng.uniform(60, 200, stars), strict=True
    ):
        square = (x - 25 * np.cos(angle)) ** 2 + (y - 25 * np.sin(angle)) ** 2
        light += peak * np.exp(-square * 4 * np.log(2) / fwhm**2)
    pixels = np.repeat(light[..., None] + 12, 3, axis=2) + rng.normal(0, 2, (SIDE, SIDE, 3))
    return pixels.clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("fwhm", [2.0, 3.5])
def test_point_sources_are_as_wide_as_they_were_drawn(fwhm):
    assert np.median([measure(scene(fwhm, seed), 6)[1] for seed in range(3)]) == pytest.approx(fwhm, rel=0.1)


def test_a_galaxy_alone_is_no_point_source():
    assert np.isnan(measure(scene(3, 0, stars=0), 6)[1])


def test_a_bluer_disc_around_a_red_bulge_has_its_gradient():
    distance = np.hypot(*(np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2))
    image = np.full((SIDE, SIDE, 3), 10, np.uint8)
    image[distance < 20] = [90, 90, 90]
    image[distance < 10, 2] = 50  # blue: half of the red light, 0.75 mag redder
    no_mask = np.zeros((SIDE, SIDE), bool)
    assert colour_gradient(image, 10, no_mask) == pytest.approx(-2.5 * np.log10(2), abs=0.08)
    assert colour_gradient(image[..., ::-1], 10, no_mask) == pytest.approx(2.5 * np.log10(2), abs=0.08)
    for radius in (np.nan, 0, SIDE):
        assert np.isnan(colour_gradient(image, radius, no_mask))
