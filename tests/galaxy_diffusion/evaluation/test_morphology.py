"""Measured shapes against the truth of drawn galaxies, and what happens to images that cannot be measured."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("statmorph")
pytest.importorskip("galsim")

from galaxy_diffusion.evaluation import morphology as module
from galaxy_diffusion.evaluation.morphology import FLAGS, MEASURES, measure, measure_all, morphology
from gz2_dataset import UserError
from gz2_dataset.crop import prepare_image
from gz2_dataset.images import decode
from gz2_dataset.mock.camera import photograph
from gz2_dataset.mock.light import NATIVE_SCALE, sersic
from gz2_dataset.mock.population import draw_galaxy


def drawn(index: float, radius: float, axis_ratio: float, angle: float, size: int = 96) -> np.ndarray:
    """A Sersic profile in linear light on a noisy sky, uint8 (S, S, 3), with a neighbour in a corner."""
    rng = np.random.default_rng(0)
    light = sersic(size, index, radius * NATIVE_SCALE, axis_ratio, angle)
    light = light / np.sort(light.ravel())[-5] + 0.3 * sersic(size, 1, 1.0, 1, 0, x=34, y=34) / 0.05
    grey = 220 * light + 12 + rng.normal(0, 1, (size, size))
    return np.repeat(grey[..., None].clip(0, 255), 3, axis=2).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("index", "radius", "axis_ratio", "angle"), [(1, 9, 0.3, 20), (1, 7, 0.7, 100), (1.5, 8, 1, 0)]
)
def test_in_linear_light_axis_ratio_radius_and_sersic_index_are_the_true_ones(index, radius, axis_ratio, angle):
    found = measure(drawn(index, radius, axis_ratio, angle))
    assert found["flag"] < module.BAD
    assert 1 - found["ellipticity"] == pytest.approx(axis_ratio, abs=0.03)
    assert found["half_light_radius"] == pytest.approx(radius, rel=0.12)
    assert found["sersic_index"] == pytest.approx(index, rel=0.2)


def test_on_mock_galaxies_as_the_survey_shows_them_the_axis_ratio_is_the_true_one():
    smooth = [g for i in range(60) if (g := draw_galaxy(7, i)).kind in ("round", "in_between", "cigar")][:6]
    images = [decode(photograph(g, np.random.default_rng([7, g.galaxy_id]))) for g in smooth]
    found = [1 - measure(prepare_image(image, 64, 224))["ellipticity"] for image in images]
    error = np.abs(np.array(found) - [g.axis_ratio for g in smooth])
    assert np.median(error) < 0.06
    assert error.max() < 0.2


def test_twice_the_pixels_have_twice_the_radius_and_a_turn_changes_nothing():
    galaxy = next(g for i in range(60) if (g := draw_galaxy(7, i)).kind == "in_between")
    image = decode(photograph(galaxy, np.random.default_rng(1)))
    small, large = (measure(prepare_image(image, size, 224)) for size in (48, 96))
    turned = measure(np.rot90(prepare_image(image, 48, 224)))
    for name in ("half_light_radius", "petrosian_radius"):
        assert large[name] == pytest.approx(2 * small[name], rel=0.12)
    for name in ("ellipticity", "half_light_radius", "concentration", "gini", "blue_minus_green"):
        assert turned[name] == pytest.approx(small[name], rel=0.02, abs=0.03), name


def test_channels_give_colours_in_magnitudes():
    image = drawn(1, 8, 0.6, 0).astype(float)
    red = (12 + (image - 12) * [1, 0.5, 0.25]).clip(0, 255).round().astype(np.uint8)
    found = measure(red)
    assert found["green_minus_red"] == pytest.approx(2.5 * np.log10(2), abs=0.08)
    assert found["blue_minus_green"] == pytest.approx(2.5 * np.log10(2), abs=0.15)


def test_what_cannot_be_measured_is_flagged_and_stays_a_row(monkeypatch):
    flat = np.full((32, 32, 3), 7, np.uint8)
    found = measure(flat)
    assert (found["flag"], found["flag_sersic"]) == (4, 4)
    assert found["sky_level"] == pytest.approx(7, abs=1e-3)
    assert "ellipticity" not in found

    def stumble(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr("statmorph.SourceMorphology", stumble)
    broken = measure(drawn(1, 8, 0.6, 0))
    assert broken["flag"] == 4
    assert np.isfinite(broken["blue_minus_green"])


@pytest.mark.slow
def test_every_image_has_a_row_however_many_processes_there_are(monkeypatch):
    images = np.stack([drawn(1, 3, q, 30, size=32) for q in (0.3, 0.8)] + [np.zeros((32, 32, 3), np.uint8)])
    table = morphology(images, processes=1)
    assert list(table.columns) == [*MEASURES, *FLAGS]
    assert table["flag"].tolist()[2] == 4
    assert table[list(MEASURES)].iloc[:2].notna().all(axis=None)
    assert table["ellipticity"].iloc[2:].isna().all()
    np.testing.assert_array_equal(measure_all(images, processes=2), table.to_numpy())
    monkeypatch.setattr(module, "measure_all", lambda *_: pytest.fail("measured again"))
    pd.testing.assert_frame_equal(morphology(images), table)  # from the cache


def test_a_missing_package_is_one_line_with_its_extra(monkeypatch):
    monkeypatch.setattr(module, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"\.\[morphology\]"):
        morphology(np.zeros((1, 32, 32, 3), np.uint8))
