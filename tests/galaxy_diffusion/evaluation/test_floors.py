"""What is compared with what, and that an ideal generator gets the floor."""

import numpy as np
import pytest

from galaxy_diffusion.evaluation.distances import estimates, unbiased_estimates, values
from galaxy_diffusion.evaluation.floors import MIN_IMAGES, MIN_UNSEEN, Sets, choose_sets, compare, of_all_classes
from galaxy_diffusion.evaluation.jackknife import Estimate


def test_unseen_galaxies_are_the_reference_where_there_are_enough():
    unseen, trained, generated = np.arange(MIN_UNSEEN), np.arange(100, 130), np.arange(50)
    sets = choose_sets(unseen, trained, generated)
    assert set(sets.reference) == set(unseen)
    assert sets.sizes == (MIN_UNSEEN, 30)
    swapped = choose_sets(unseen[1:], trained, generated)
    assert set(swapped.reference) == set(trained)
    assert swapped.sizes == (30, MIN_UNSEEN - 1)


def test_over_all_classes_every_set_has_the_same_mix():
    first = Sets(np.arange(20), np.arange(20, 50), np.arange(15))
    second = Sets(np.arange(50, 90), np.arange(90, 200), np.arange(15, 400))
    cut = of_all_classes([first, second])
    assert [(len(s.reference), *s.sizes) for s in cut] == [(15, 15, 15), (40, 40, 40)]
    assert of_all_classes([first]) == [first]


def test_an_ideal_generator_lies_within_the_floor_and_a_poor_one_outside():
    rng = np.random.default_rng(0)
    real, ideal = rng.normal(size=(160, 12)), rng.normal(size=(60, 12))
    sets = [choose_sets(np.arange(60), np.arange(60, 160), np.arange(60))]
    found = compare(estimates, values, real, ideal, sets, of_any_size=unbiased_estimates)
    assert all(f.low <= f.floor_high and f.high >= f.floor_low for f in found.values())
    poor = compare(estimates, values, real, ideal + 1, sets, of_any_size=unbiased_estimates)
    assert poor["fid"].low > poor["fid"].floor_high
    assert poor["kid"].low > poor["kid"].floor_high
    assert poor["recall"].value < poor["recall"].floor_low
    assert abs(found["kid"].floor) < 0.05
    assert found["fid"].floor > 0.5  # its bias at these sizes
    assert {(f.n_real, f.n_generated) for f in found.values()} == {(60, 60)}


def test_kid_takes_all_generated_images_and_recall_the_mean_over_subsets():
    rng = np.random.default_rng(1)
    real, generated = rng.normal(size=(130, 12)), rng.normal(size=(400, 12))
    recalls = []
    for seed in range(2):
        sets = [choose_sets(np.arange(100), np.arange(100, 130), np.arange(400), seed)]
        found = compare(estimates, values, real, generated, sets, "", seed, unbiased_estimates)
        assert (found["kid"].n_generated, found["recall"].n_generated) == (400, 30)
        assert found["recall"].low < found["recall"].value < found["recall"].high
        recalls.append(found["recall"].value)
    alone = [values(real[:100], generated[i : i + 30])["recall"] for i in range(0, 390, 30)]
    assert abs(recalls[0] - recalls[1]) < np.std(alone)
    assert abs(np.mean(recalls) - np.mean(alone)) < np.std(alone)
    assert found["recall"].floor_low <= found["recall"].value <= found["recall"].floor_high


def test_the_floor_compares_real_images_with_other_real_ones_of_the_same_class_and_sizes():
    real = np.arange(90)  # the first 40 of one class, the others of another
    sets = [
        Sets(np.arange(12), np.arange(12, 40), np.arange(20)),
        Sets(np.arange(40, 60), np.arange(60, 90), np.arange(20, 31)),
    ]
    seen = []

    def sizes(first, second):
        seen.append((first, second))
        return {"figure": 1.0}

    compare(lambda *_: {"figure": Estimate(1.0, 1.0, 1.0)}, sizes, real, np.arange(100, 131), sets)
    for first, second in seen:
        assert (len(first), len(second)) == (12 + 20, 20 + 11)
        assert not set(first) & set(second)
        assert ((first < 40).sum(), (second < 40).sum()) == (12, 20)
    assert len({tuple(first) for first, _ in seen}) == len(seen)


@pytest.mark.parametrize("few", range(3))
def test_too_few_images_give_no_figure(few):
    rows = [np.arange(MIN_IMAGES - 1) if i == few else np.arange(30) for i in range(3)]
    assert compare(estimates, values, np.zeros((60, 4)), np.zeros((60, 4)), [Sets(*rows)]) == {}
