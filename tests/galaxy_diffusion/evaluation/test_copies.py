"""Planted copies are found, what is found is named and turned back, and a rate comes with its false positives."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from galaxy_diffusion.evaluation.controls import CHANGES, dimmed, shifted, turned, zoomed
from galaxy_diffusion.evaluation.copies import Copies, find_copies, rate
from galaxy_diffusion.evaluation.copy_search import NO_COPIES
from galaxy_diffusion.evaluation.pair import RealAndGenerated
from gz2_dataset import CLASS_NAMES, GalaxyArrays
from tests.conftest import draw_clumpy_galaxies

pytestmark = pytest.mark.slow

SPLITS = {"train": 240, "unlabelled": 60, "validation": 60, "test": 80}
PLANTED = 20


def galaxies(name: str, n: int, seed: int, labelled: bool = True) -> GalaxyArrays:
    labels = np.arange(n) % 2 + 3 if labelled else np.full(n, -1)
    ids = [f"{name}{i}" for i in range(n)]
    return GalaxyArrays(draw_clumpy_galaxies(n, seed), labels, ids, ids, CLASS_NAMES)


@pytest.fixture(scope="module")
def pair() -> RealAndGenerated:
    """Of 40 generated images, the first are training images that were moved, turned, zoomed and dimmed."""
    splits = {name: galaxies(name, n, seed, name != "unlabelled") for seed, (name, n) in enumerate(SPLITS.items())}
    train, new = splits["train"], galaxies("generated", 2 * PLANTED, 9)
    planted = [shifted(turned(zoomed(dimmed(image), 1.1), 40)) for image in train.images[:PLANTED]]
    images = np.concatenate([planted, new.images[PLANTED:]])
    generated = GalaxyArrays(images, new.labels, new.image_ids, new.digests, CLASS_NAMES)
    seen = [(train, np.arange(len(train))), (splits["unlabelled"], np.arange(10, 60))]
    return RealAndGenerated(generated, splits["validation"], splits["test"], seen)


@pytest.fixture(scope="module")
def copies(pair) -> Copies:
    return find_copies(pair)


def test_planted_copies_are_found_and_named_and_new_galaxies_are_not(copies):
    table = copies.table()
    assert table["is_copy"][:PLANTED].mean() >= 0.9
    assert table["is_copy"][PLANTED:].mean() <= 0.1
    found = table[table["is_copy"]][:PLANTED]
    planted = found[found.index < PLANTED]
    assert (planted["image_id"] == [f"train{i}" for i in planted.index]).all()
    rates = copies.rates(np.arange(2 * PLANTED))["copy_rate"]
    assert (rates.n_real, rates.n_generated, rates.n_floor) == (240 + 50, 2 * PLANTED, 80)
    assert rates.p_value < 1e-4
    assert rates.floor < 0.1


def test_each_class_has_its_threshold_from_galaxies_seen_and_held_out(copies):
    thresholds = copies.search.thresholds
    assert set(thresholds) == {3, 4}
    assert {t.n for t in thresholds.values()} == {120 + 30}
    assert {t.false_positives for t in thresholds.values()} == {1 / 151}
    np.testing.assert_array_equal(copies.limits[:2], [thresholds[3].relative, thresholds[4].relative])


def test_the_power_stands_beside_the_rate_with_the_false_alarms_first(copies):
    power = copies.power
    assert list(power["change"].unique()) == [NO_COPIES, *CHANGES]
    every = power[power["label"] == "all"].set_index("change")
    assert every.loc[NO_COPIES, "n"] == SPLITS["test"]
    assert every.loc[NO_COPIES, "share"] < 0.05
    easy = ["unchanged", "mirrored", "shifted by 1 pixel", "turned by 10 degrees", "dimmed by 20 %"]
    assert (every.loc[[*easy, "zoomed in by 15 %"], "share"] >= 0.9).all()
    by_class = power[(power["change"] == "mirrored") & (power["label"] != "all")]
    assert by_class["label"].tolist() == [CLASS_NAMES[3], CLASS_NAMES[4]]
    assert by_class["found"].sum() == every.loc["mirrored", "found"]


def test_the_closest_images_are_turned_back_towards_the_galaxies_that_they_copy(copies):
    images, neighbours, ratio = copies.closest(8)["generated"]
    assert (np.diff(ratio) >= 0).all()
    assert (ratio <= 1).all()
    as_found = copies.pair.generated.images[np.argsort(copies.in_thresholds()["generated"])[:8]]

    def correlation(first: np.ndarray, second: np.ndarray) -> float:
        inside = np.s_[:, 6:-6, 6:-6]
        return np.corrcoef(first[inside].ravel(), second[inside].ravel())[0, 1]

    assert correlation(images, neighbours) > correlation(as_found, neighbours) + 0.05


def test_twins_among_the_generated_are_duplicates_and_named(pair):
    images = pair.generated.images.copy()
    images[31] = turned(images[25], 60)
    twins = find_copies(
        RealAndGenerated(
            GalaxyArrays(images, pair.generated.labels, pair.generated.image_ids, [], CLASS_NAMES),
            pair.validation,
            pair.test,
            pair.seen,
        )
    ).table()
    assert twins["is_duplicate"][[25, 31]].all()
    assert twins["nearest_file_name"][[25, 31]].tolist() == ["generated31", "generated25"]
    assert twins["is_duplicate"][PLANTED:].sum() <= 3


def test_a_single_generated_image_is_searched_and_no_test_galaxy_is_no_floor(pair):
    one = GalaxyArrays(pair.generated.images[:1], np.array([3]), ["one"], [], CLASS_NAMES)
    none = GalaxyArrays(pair.test.images[:0], np.zeros(0, np.int64), [], [], CLASS_NAMES)
    copies = find_copies(RealAndGenerated(one, pair.validation, none, pair.seen))
    found = copies.rates(np.array([0]))
    assert found["copy_rate"].value == 1
    assert (found["duplicate_rate"].value, found["duplicate_rate"].floor) == (0, None)
    assert isinstance(copies.power, pd.DataFrame)
    assert set(copies.closest(3)) == {"generated"}


def test_a_rate_has_wilsons_interval_and_a_p_value_that_knows_the_false_positives():
    copies, unseen = np.arange(200) < 20, np.arange(400) < 4
    found = rate(copies, unseen, n_real=7000)
    expected = binomtest(20, 200).proportion_ci(method="wilson")
    assert (found.value, found.floor) == (0.1, 0.01)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.p_value < 1e-4
    assert rate(unseen, unseen, n_real=7000).p_value > 0.5
