"""A copy of a training galaxy is called one, another galaxy is not, and only galaxies that were seen are searched."""

import numpy as np
import pytest

from galaxy_diffusion.app.novelty import NEIGHBOURS, SeenGalaxies, load_seen_galaxies
from galaxy_diffusion.evaluation.controls import turned
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from tests.conftest import draw_clumpy_galaxies


@pytest.fixture(scope="module")
def galaxies() -> SeenGalaxies:
    images, names = draw_clumpy_galaxies(160, 0), [str(i) for i in range(160)]
    labels = np.where(np.arange(160) < 150, np.arange(160) % 2, -1)
    everything = GalaxyArrays(images, labels, names, names, ("ring", "bar"))
    return SeenGalaxies(everything.take(np.arange(20, 160)), everything.take(np.arange(20)))


def test_a_turned_training_galaxy_is_a_copy_of_it(galaxies):
    found = galaxies.nearest(turned(galaxies.seen.images[17], 40), "bar")
    assert found.is_copy
    assert found.neighbours[0].image_id == galaxies.seen.image_ids[17]
    assert found.neighbours[0].class_name == "bar"
    off = np.abs(found.image.astype(int) - galaxies.seen.images[17])[8:24, 8:24].mean()
    assert off < 10, "it is shown turned like the training galaxy"


def test_another_galaxy_is_no_copy(galaxies):
    found = galaxies.nearest(draw_clumpy_galaxies(1, 99)[0], "ring")
    assert not found.is_copy
    assert len(found.neighbours) == NEIGHBOURS
    distances = [neighbour.relative for neighbour in found.neighbours]
    assert distances == sorted(distances)
    assert distances[0] > found.threshold.relative > 0
    assert found.n == 140


def test_a_galaxy_without_a_class_can_be_the_nearest(galaxies):
    row = int(np.flatnonzero(galaxies.seen.labels < 0)[0])
    assert galaxies.nearest(galaxies.seen.images[row], "ring").neighbours[0].class_name == ""


def test_only_what_the_model_has_seen_is_searched(toy_data, tiny_model):
    found = load_seen_galaxies(str(toy_data), str(tiny_model), 32)
    train, held_out = (load_arrays(str(toy_data), split, 32) for split in ("train", "validation"))
    assert set(train.image_ids) <= set(found.seen.image_ids)
    assert not set(found.seen.image_ids) & set(held_out.image_ids)
    with pytest.raises(UserError, match=r"class 'ring': is not one of"):
        found.nearest(found.seen.images[0], "ring")


def test_data_that_the_model_does_not_know_are_refused(cutouts, tiny_model):
    with pytest.raises(UserError, match=r"learned from|has seen none"):
        load_seen_galaxies(str(cutouts), str(tiny_model), 32)
