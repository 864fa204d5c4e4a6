"""Changes are what they are called."""

import numpy as np
import pytest

from galaxy_diffusion.evaluation.controls import CHANGES, changed, dimmed, noisy, shifted, turned, zoomed
from tests.conftest import draw_clumpy_galaxies

IMAGE = draw_clumpy_galaxies(1, 0, size=33)[0]


def test_shifts_turns_and_zooms_are_exact_where_no_pixel_falls_between_others():
    np.testing.assert_array_equal(shifted(IMAGE, 3)[:, 3:], IMAGE[:, :-3])
    np.testing.assert_allclose(turned(IMAGE, 90).astype(int), np.rot90(IMAGE), atol=1)
    twice = zoomed(IMAGE, 2)
    np.testing.assert_allclose(twice[::2, ::2].astype(int), IMAGE[8:25, 8:25], atol=1)
    np.testing.assert_array_equal(dimmed(IMAGE, 0.5), (IMAGE / 2).round())


def test_noise_has_its_strength_and_follows_from_the_image():
    flat = np.full((64, 64, 3), 100, np.uint8)
    assert (noisy(flat) - 100.0).std() == pytest.approx(4, rel=0.05)
    np.testing.assert_array_equal(noisy(flat), noisy(flat))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_gives_images_of_the_same_shape_and_only_unchanged_ones_stay(name):
    images = draw_clumpy_galaxies(2, 1)
    after = changed(images, CHANGES[name])
    assert (after.shape, after.dtype) == (images.shape, np.uint8)
    off = np.abs(after.astype(int) - images).mean()
    assert off < 1.8 if name == "unchanged" else off > 1.8  # the JPEG alone changes them by 1.6
