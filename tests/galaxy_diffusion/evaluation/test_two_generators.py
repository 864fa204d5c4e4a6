"""Two nets of which the answer is known: the same images, unrelated ones, copies of each half, and nearly the same."""

import numpy as np
import pytest
from PIL import Image

from galaxy_diffusion.evaluation.two_generators import partners_nearer, two_generators
from gz2_dataset import GalaxyArrays
from tests.conftest import draw_toy_galaxy

N, CLASSES = 24, ("edge_on", "spiral")


def galaxies(seed: int, name: str = "edge_on") -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = [draw_toy_galaxy(name, rng).resize((32, 32), Image.Resampling.LANCZOS) for _ in range(N)]
    return np.stack([np.asarray(image) for image in drawn])


def arrays(images: np.ndarray, label: int = 0) -> GalaxyArrays:
    ids = [f"{i}" for i in range(len(images))]
    return GalaxyArrays(images, np.full(len(images), label), ids, ids, CLASSES)


@pytest.fixture(scope="module")
def halves() -> list[np.ndarray]:
    return [galaxies(0), galaxies(1)]


def figures(first: np.ndarray, second: np.ndarray, halves: list[np.ndarray]) -> dict:
    return two_generators([arrays(first), arrays(second)], [*map(arrays, halves)])["edge_on"]


def test_nets_that_draw_the_same_new_galaxies_have_learned(halves):
    new = galaxies(2)
    noisy = (new + np.random.default_rng(0).normal(0, 3, new.shape)).clip(0, 255).round().astype(np.uint8)
    found = figures(new, noisy, halves)
    assert found["partners_agree"].value > 0.98
    assert found["own_half_nearest"].low < 0.5 < found["own_half_nearest"].high


def test_nets_that_repeat_their_own_half_have_memorised(halves):
    turned = [np.rot90(half[np.random.default_rng(i).permutation(N)], axes=(1, 2)) for i, half in enumerate(halves)]
    found = figures(*turned, halves)
    assert found["partners_agree"].low < 0.5 < found["partners_agree"].high
    assert found["own_half_nearest"].value > 0.95
    assert found["own_half_nearest"].n_generated == 2 * N


def test_unrelated_new_images_are_neither(halves):
    found = figures(galaxies(3), galaxies(4), halves)
    for figure in found.values():
        assert figure.low < 0.5 < figure.high
        assert figure.floor == 0.5


def test_two_identical_folders_agree_entirely_and_equal_images_count_half():
    same = galaxies(5)
    assert partners_nearer(same, same).tolist() == [1.0] * N
    one = np.repeat(same[:1], N, axis=0)
    assert partners_nearer(one, one) == pytest.approx(0.5)


def test_classes_are_compared_within_themselves_and_small_ones_left_out(halves):
    few = np.concatenate([galaxies(2), galaxies(6, "spiral")[:3]])
    labels = np.repeat([0, 1], [N, 3])
    ids = [f"{i}" for i in range(len(few))]
    generated = GalaxyArrays(few, labels, ids, ids, CLASSES)
    assert set(two_generators([generated, generated], [*map(arrays, halves)])) == {"edge_on"}
