"""The frame follows the galaxy: moved, zoomed, dimmed and turned, it has the same rings."""

import numpy as np
import torch

from galaxy_diffusion.evaluation.controls import dimmed, shifted, turned, zoomed
from galaxy_diffusion.evaluation.rings import HARMONICS, RINGS, harmonics, measure, together
from tests.conftest import draw_clumpy_galaxies


def gaussian(side: int, x: float, y: float, sigma: float) -> np.ndarray:
    down, across = np.mgrid[:side, :side] - (side - 1) / 2
    light = 200 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * sigma**2))
    return np.repeat((20 + light).round().astype(np.uint8)[None, :, :, None], 3, axis=3)


def test_centre_and_size_of_a_gaussian_are_its_own():
    found = measure(gaussian(32, 1.3, -2.1, 3.0))
    np.testing.assert_allclose([found.x[0], found.y[0], found.size[0]], [1.3, -2.1, 3.0], atol=0.03)
    wide = measure(gaussian(64, 2.6, -4.2, 6.0))  # the same, twice as large, comes down to 32 pixels
    np.testing.assert_allclose([wide.x[0], wide.y[0], wide.size[0]], [1.3, -2.1, 3.0], atol=0.05)


def test_centre_and_size_go_with_the_galaxy():
    images = draw_clumpy_galaxies(30, 0)
    before = measure(images)
    moved = measure(np.stack([shifted(image, 2) for image in images]))
    larger = measure(np.stack([zoomed(image, 1.15) for image in images]))
    assert (moved.x - before.x - 2).abs().median() < 0.05
    assert (moved.y - before.y).abs().median() < 0.05
    assert abs((larger.size / before.size).median() - 1.15) < 0.03


def test_rings_of_a_turned_galaxy_have_the_same_power_and_other_phases():
    images = draw_clumpy_galaxies(30, 1)
    rings = harmonics(measure(images), unit=4.0)
    assert rings.shape == (HARMONICS, 30, 3 * RINGS)
    after = harmonics(measure(np.stack([turned(dimmed(image), 40) for image in images])), unit=4.0)
    power, power_after = (r.abs().square().sum(dim=2) for r in (rings, after))
    assert ((power - power_after).abs().sum(dim=0) / power.sum(dim=0)).median() < 0.1
    for m in (1, 2, 3):  # counterclockwise is towards smaller angles, as y points down
        phase = (after[m] * rings[m].conj()).sum(dim=1).angle() / torch.pi * 180
        off = (phase - 40 * m + 180) % 360 - 180
        assert off.abs().median() < 4 * m


def test_black_images_no_images_and_sets_together():
    black = harmonics(measure(np.zeros((2, 32, 32, 3), np.uint8)), unit=4.0)
    assert torch.isfinite(torch.view_as_real(black)).all()
    some = measure(draw_clumpy_galaxies(3, 0))
    joined = together([some, measure(np.zeros((0, 32, 32, 3), np.uint8)), some.take(np.array([2]))])
    assert len(joined) == 4
    assert joined.x[3] == some.x[2]
