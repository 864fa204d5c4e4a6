"""Power spectra of waves, noise and turned images."""

import numpy as np
import pytest

from galaxy_diffusion.evaluation import morphology_figures
from galaxy_diffusion.evaluation.spectrum import high_frequency_power, power_spectra


def wave(cycles: int, angle: float, size: int = 32) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    pattern = 127 + 100 * np.sin(2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle)) / size)
    return np.repeat(pattern[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("angle", [0, 0.6, np.pi / 2])
@pytest.mark.parametrize("cycles", [3, 7, 12])
def test_a_wave_has_its_power_at_its_own_frequency(cycles, angle):
    spectrum = power_spectra(wave(cycles, angle)[None])[0]
    assert spectrum.argmax() + 1 == cycles


def test_white_noise_has_equal_power_everywhere():
    noise = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    mean = power_spectra(noise).mean(axis=0)
    assert mean[2:] == pytest.approx(np.full(14, mean[2:].mean()), rel=0.1)


def test_neither_turn_nor_brightness_matters():
    image = np.random.default_rng(1).integers(0, 120, (1, 32, 32, 3), dtype=np.uint8)
    expected = power_spectra(image)
    # The Hann window of an even side has its peak on a pixel, so a turn moves it by one.
    np.testing.assert_allclose(power_spectra(np.rot90(image, 1, (1, 2))), expected, rtol=0.5)
    np.testing.assert_allclose(power_spectra(image * 2 + 10), expected, rtol=1e-4)


def test_blur_loses_high_frequencies_and_a_flat_image_has_none():
    rng = np.random.default_rng(2)
    noise = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    smooth = noise.repeat(2, axis=1).repeat(2, axis=2)
    assert high_frequency_power(smooth).max() < high_frequency_power(noise).min() - 0.1
    flat = np.full((1, 32, 32, 3), 9, np.uint8)
    assert not power_spectra(flat).any()
    assert np.isnan(high_frequency_power(flat)).all()


def test_the_figure_has_numbers_on_its_axes(monkeypatch):
    """TeX would be printed as it is, because a $ in the name of a class is a $."""
    monkeypatch.setattr(morphology_figures, "chart", lambda figure: figure)
    spectra = np.geomspace(1, 1e-6, 16)[None]
    figure = morphology_figures.power_figure({"ring": (spectra, spectra)})
    figure.draw_without_rendering()
    (axes,) = figure.axes
    ticks = [*axes.get_xticklabels(which="both"), *axes.get_yticklabels(which="both")]
    texts = {tick.get_text().replace("−", "-") for tick in ticks} - {""}
    assert {"4", "0.001"} <= texts
    assert all(float(text) > 0 for text in texts)
