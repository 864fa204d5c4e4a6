"""Copies are found however they are turned and recompressed; new galaxies are not."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest

from galaxy_diffusion.evaluation.copies import copy_threshold, rate
from galaxy_diffusion.evaluation.nearest import nearest, thumbnails
from galaxy_diffusion.shared.symmetry import turn
from gz2_dataset import CLASS_NAMES
from tests.conftest import draw_toy_galaxy


def draw(n: int, seed: int, size: int = 32) -> np.ndarray:
    """Galaxies of all classes, somewhat off the centre."""
    rng = np.random.default_rng(seed)
    galaxies = [np.asarray(draw_toy_galaxy(rng.choice(CLASS_NAMES), rng, size)) for _ in range(n)]
    return np.stack([np.roll(galaxy, rng.integers(-size // 8, size // 8, 2), axis=(0, 1)) for galaxy in galaxies])


def recompressed(image: np.ndarray) -> np.ndarray:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=75, subsampling=2)
    return np.asarray(Image.open(buffer))


def turned(images: np.ndarray, symmetry: np.ndarray) -> np.ndarray:
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    return turn(pixels, torch.from_numpy(symmetry)).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("size", [32, 100])
def test_every_turned_and_recompressed_training_image_is_found_and_no_new_galaxy_is(size):
    training, unseen, new = (draw(n, seed, size) for n, seed in ((120, 0), (100, 1), (40, 2)))
    symmetry = np.arange(120) % 8
    copies = np.stack([recompressed(image) for image in turned(training, symmetry)])
    seen = thumbnails(training)
    threshold, false_positives = copy_threshold(nearest(thumbnails(unseen), seen).relative)
    found = nearest(thumbnails(copies), seen)
    assert found.index.tolist() == list(range(120))
    assert (found.relative < threshold).all()
    np.testing.assert_array_equal(turned(turned(training, symmetry), found.symmetry), training)
    assert (nearest(thumbnails(new), seen).relative < threshold).mean() <= false_positives + 0.05


def test_neighbours_are_those_of_a_slow_reference_and_batches_do_not_matter():
    images, training = thumbnails(draw(9, 0)), thumbnails(draw(30, 1))
    found = nearest(images, training, batch_size=4)
    whole = nearest(images, training, batch_size=100)
    np.testing.assert_array_equal(found.index, whole.index)
    np.testing.assert_allclose(found.relative, whole.relative, rtol=1e-5)
    for i, image in enumerate(images):
        eight = [turn(image[None], torch.tensor([s]))[0] for s in range(8)]
        slow = np.array([min(float((t - other).square().mean().sqrt()) for t in eight) for other in training])
        assert found.index[i] == slow.argmin()
        assert found.distance[i] == pytest.approx(slow.min(), rel=1e-3)
        assert found.relative[i] == pytest.approx(slow.min() / np.sort(slow)[1:].mean(), rel=1e-3)


def test_twins_among_the_images_themselves_are_found():
    images = draw(40, 0)
    images[7] = turned(images[31:32], np.array([5]))[0]
    twins = nearest(thumbnails(images), thumbnails(images), same=True, batch_size=16)
    assert (twins.index != np.arange(40)).all()
    assert (twins.index[7], twins.index[31]) == (31, 7)
    assert set(np.argsort(twins.relative)[:2]) == {7, 31}


@pytest.mark.parametrize(("n", "rank"), [(5, 1), (99, 1), (199, 2), (1000, 10)])
def test_the_threshold_lets_one_unseen_galaxy_in_a_hundred_through(n, rank):
    unseen = np.random.default_rng(0).permutation(n) / n
    threshold, expected = copy_threshold(unseen)
    assert (unseen <= threshold).sum() == rank
    assert expected == rank / (n + 1)


def test_a_rate_has_wilsons_interval_and_a_p_value_that_knows_the_false_positives():
    copies, unseen = np.arange(200) < 20, np.arange(400) < 4
    found = rate(copies, unseen, n_real=7000)
    expected = binomtest(20, 200).proportion_ci(method="wilson")
    assert (found.value, found.floor) == (0.1, 0.01)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.p_value < 1e-4
    assert rate(unseen, unseen, n_real=7000).p_value > 0.5
