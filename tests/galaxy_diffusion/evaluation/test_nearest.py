"""The nearest galaxy is found however it is turned, as by a search without shortcuts."""

import numpy as np
import pytest
import torch

from galaxy_diffusion.evaluation.controls import turned
from galaxy_diffusion.evaluation.nearest import Gallery, at_all_angles
from galaxy_diffusion.evaluation.rings import HARMONICS, harmonics, measure
from tests.conftest import draw_clumpy_galaxies


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery(measure(draw_clumpy_galaxies(120, 0)))


@pytest.mark.parametrize(("degrees", "mirrored"), [(0, False), (35, False), (250, True)])
def test_the_angle_and_the_mirror_are_those_of_the_image(gallery, degrees, mirrored):
    images = draw_clumpy_galaxies(120, 0)[:40]
    images = np.stack([turned(image, -degrees) for image in images])  # clockwise
    found = gallery.nearest(measure(images[:, ::-1] if mirrored else images))
    assert (found.index == np.arange(40)).mean() >= 0.95
    right = found.index == np.arange(40)
    assert (found.mirrored[right] == mirrored).mean() >= 0.95
    off = (found.angle[right] - degrees + 180) % 360 - 180
    assert np.median(np.abs(off)) < 4
    assert np.median(found.relative) < 0.2


def test_cosines_are_those_of_vectors_turned_one_by_one(gallery):
    vectors = gallery.whiten(harmonics(measure(draw_clumpy_galaxies(3, 5)), gallery.unit))
    fast = gallery.cosines(vectors)
    for i in range(3):
        best = np.full(120, -2.0)
        for side in (vectors[:, i], vectors[:, i].conj()):
            for step in range(32):
                phase = torch.exp(1j * torch.arange(HARMONICS) * step * 2 * torch.pi / 32)[:, None]
                product = ((side * phase)[:, None] * gallery.vectors.conj()).real.sum(dim=(0, 2))
                best = np.maximum(best, product.numpy())
        np.testing.assert_allclose(fast[i], best, atol=1e-4)


def test_angles_are_those_of_a_fourier_sum():
    product = torch.randn(2, HARMONICS, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    turned = at_all_angles(product, 8)
    angle = 2 * np.pi * 5 / 8
    expected = (product.numpy() * np.exp(1j * np.arange(HARMONICS) * angle)).real.sum(axis=1)
    np.testing.assert_allclose(turned[:, 5], expected, rtol=1e-4, atol=1e-4)


def test_the_nearest_few_begin_with_the_nearest_and_go_outwards(gallery):
    galaxies = measure(draw_clumpy_galaxies(5, 7))
    one, few = gallery.nearest(galaxies), gallery.nearest_few(galaxies, 4)
    assert few.index.shape == few.relative.shape == (5, 4)
    for name in ("index", "mirrored", "angle", "distance", "relative"):
        np.testing.assert_allclose(getattr(few, name)[:, 0], getattr(one, name), rtol=1e-5)
    assert (np.diff(few.distance, axis=1) >= 0).all()
    assert all(len(set(row)) == 4 for row in few.index.tolist())


def test_a_galaxy_of_the_gallery_is_nearest_to_itself_unless_left_out(gallery):
    itself = gallery.nearest(gallery.galaxies)
    assert (itself.index == np.arange(120)).all()
    assert itself.distance.max() < 1e-3
    others = gallery.nearest_others(np.array([3, 70]))
    assert (others.index != [3, 70]).all()
    assert others.relative.min() > 0.2


def test_distances_do_not_depend_on_the_batch_and_a_gallery_like_another_has_its_frames(gallery, monkeypatch):
    some = measure(draw_clumpy_galaxies(9, 7))
    whole = gallery.nearest(some)
    monkeypatch.setattr("galaxy_diffusion.evaluation.nearest.PAIRS_AT_ONCE", 4 * 120)
    parts = gallery.nearest(some)
    np.testing.assert_array_equal(parts.index, whole.index)
    np.testing.assert_allclose(parts.relative, whole.relative, rtol=1e-4)
    again = Gallery(gallery.galaxies.take(slice(0, 50)), like=gallery)
    torch.testing.assert_close(again.vectors, gallery.vectors[:, :50], rtol=1e-4, atol=1e-5)


def test_alone_or_without_images_nothing_is_near():
    one = Gallery(measure(draw_clumpy_galaxies(1, 0)))
    assert np.isinf(one.nearest_others().relative).all()
    assert len(one.nearest(measure(np.zeros((0, 32, 32, 3), np.uint8))).index) == 0
