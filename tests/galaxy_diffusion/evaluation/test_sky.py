"""The sky's noise in drawn images whose noise is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from galaxy_diffusion.evaluation.sky_ratio import amplitude_ratio, channel_noise
from galaxy_diffusion.shared.sky import noise_covariance, sky_amplitude

ROUNDING = 1 / np.sqrt(12)


def sky(sigma: float, side: int = 32, correlated: bool = False, n: int = 40, seed: int = 0) -> np.ndarray:
    """Noise of a standard deviation in grey levels, neighbours independent or correlated by 0.4."""
    noise = np.random.default_rng(seed).normal(size=(n, side, side, 3))
    if correlated:
        noise = gaussian_filter(noise, 0.52, axes=(1, 2), mode="wrap")
    return sigma * noise / noise.std()


def galaxy(side: int) -> np.ndarray:
    """A bright galaxy in the middle, whose wings reach into the border."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return 200 * np.exp(-np.hypot(x, y / 0.6) / (side / 8))[..., None]


def star(side: int) -> np.ndarray:
    """A galaxy in the border, not round and coloured."""
    y, x = np.mgrid[:side, :side]
    return 150 * np.exp(-((x - 3) ** 2 + (y - side / 3) ** 2) / (2 * 1.5**2))[..., None] * np.array([1, 0.8, 0.5])


def grey_levels(images: np.ndarray, level: float = 15) -> np.ndarray:
    return (images + level).clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("sigma", [1.0, 2.0, 2.5])
@pytest.mark.parametrize("correlated", [False, True])
def test_the_noise_is_found_beside_a_galaxy_and_a_star(sigma, side, correlated):
    noise, expected = sky(sigma, side, correlated), np.hypot(sigma, ROUNDING)
    for sources in (0, galaxy(side), galaxy(side) + star(side)):
        found = sky_amplitude(grey_levels(noise + sources))
        assert found == pytest.approx(np.full(40, expected), rel=0.2), "each image"
        assert found.mean() == pytest.approx(expected, rel=0.06)


def test_rounding_to_grey_levels_adds_in_quadrature():
    for sigma in (0.5, 2.0):
        exact, rounded = sky_amplitude(15 + sky(sigma)), sky_amplitude(grey_levels(sky(sigma)))
        assert exact.mean() == pytest.approx(sigma, rel=0.02)
        assert rounded.mean() == pytest.approx(np.hypot(sigma, 0.29), rel=0.03)


def test_light_that_slopes_through_the_border_is_no_noise():
    y, x = np.mgrid[:64, :64]
    slope = (0.15 * x + 0.1 * y)[..., None]
    assert sky_amplitude(grey_levels(sky(2.0, 64) + slope)).mean() == pytest.approx(2.0, rel=0.1)


def test_a_smoothed_sky_is_found_out():
    """The effect of a sampler that stops too early: the galaxy stays, the sky loses half of its noise."""
    real, generated = (sky_amplitude(grey_levels(sky(sigma) + galaxy(32))) for sigma in (2.3, 1.15))
    ratio = amplitude_ratio(real, generated)
    assert ratio.value == pytest.approx(0.5, abs=0.05)
    assert ratio.high < 0.6


def test_masked_pixels_flat_and_empty_input():
    image = 15 + sky(2.0, n=1)
    image[0, :, :10] = np.nan
    assert sky_amplitude(image) == pytest.approx([2.0], rel=0.1)
    assert np.isnan(sky_amplitude(np.full((1, 32, 32, 3), np.nan))).all()
    assert sky_amplitude(np.full((2, 32, 32, 3), 9, np.uint8)) == pytest.approx([0, 0], abs=1e-9)
    assert sky_amplitude(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0,)
    assert np.isnan(amplitude_ratio(np.zeros(3), np.ones(3)).value)
    assert np.isnan(amplitude_ratio(np.ones(3), np.full(3, np.nan)).high)


def test_the_interval_of_a_ratio_holds_the_truth():
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(100):
        real, generated = np.exp(rng.normal(0.8, 0.35, 50)), np.exp(rng.normal(0.8, 0.35, 100))
        ratio = amplitude_ratio(real, generated, seed)
        held += ratio.low <= 1 <= ratio.high
    assert 88 <= held <= 100


def test_the_covariance_of_the_noise_between_channels_is_the_true_one():
    true = np.array([[4.0, 2.4, 0.0], [2.4, 9.0, -1.5], [0.0, -1.5, 6.25]])
    noise = sky(1.0, 64) @ np.linalg.cholesky(true).T
    for sources in (0, galaxy(64) + star(64)):
        found = noise_covariance(grey_levels(noise + sources, level=40)).mean(axis=0)
        assert found == pytest.approx(true + np.eye(3) / 12, abs=0.35)
    channels = channel_noise(grey_levels(noise, level=40))
    assert channels["noise_green"].mean() == pytest.approx(3.0, rel=0.03)
    assert channels["noise_correlation_red_green"].mean() == pytest.approx(0.4, abs=0.03)
    assert channels["noise_correlation_green_blue"].mean() == pytest.approx(-0.2, abs=0.03)


def test_where_there_is_no_sky_there_is_no_covariance():
    assert np.isnan(noise_covariance(np.full((1, 32, 32, 3), np.nan))).all()
    flat = channel_noise(np.full((1, 32, 32, 3), 7, np.uint8))
    assert flat["noise_red"] == 0
    assert np.isnan(flat["noise_correlation_red_green"]).all()
