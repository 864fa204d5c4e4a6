"""benchmarks/sampling_quality.py: what it measures, and the rule by which it chooses a sampler."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks import class_figures, drawn_images, sampling_quality
from benchmarks.class_figures import Figures, beside_real, floor, measure
from benchmarks.sampler_choice import Row, Setting, choice, markdown, row_of
from benchmarks.sampling_quality import Config, choose_real, settings_of
from galaxy_diffusion.evaluation.floors import Sets
from galaxy_diffusion.evaluation.jackknife import Estimate
from gz2_dataset import UserError, load_arrays
from gz2_dataset.arrays import GalaxyArrays


def around(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)


def row(scheduler: str, steps: int, kids: tuple[float, float], skies: tuple[float, float] = (1.0, 1.0)) -> Row:
    classes = {
        name: Figures(around(kid, 0.01), around(0.5, 0.1), around(sky, 0.05), around(0.0, 0.1), 30, 20, 20)
        for name, kid, sky in zip(("ring", "spiral"), kids, skies, strict=True)
    }
    return Row(Setting(scheduler, steps, 2.0), 2 * steps, 0.5, classes)


REFERENCE = row("ddpm", 1000, (0.05, 0.05))


@pytest.fixture
def small_features(monkeypatch):
    """Mean colours instead of Inception's features, which are slow."""
    monkeypatch.setattr(class_figures, "inception_features", lambda images: images.mean(axis=(1, 2)) / 255)


def noisy(sigma: float, n: int = 40, seed: int = 0, side: int = 32) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(20, sigma, (n, side, side, 3))
    return noise.clip(0, 255).round().astype(np.uint8)


def test_errors_of_classes_add_in_square():
    mean = row("ddim", 5, (0.02, 0.06)).kid
    assert (mean.value, mean.high - mean.value) == pytest.approx((0.04, 0.01 / 2**0.5))


@pytest.mark.parametrize(
    ("kids", "skies", "flaws"),
    [
        ((0.05, 0.05), (1.0, 1.0), []),
        ((0.056, 0.056), (1.0, 1.0), []),  # the reference's interval of the mean ends at 0.0571
        ((0.058, 0.058), (1.0, 1.0), ["KID"]),
        ((0.02, 0.09), (1.0, 1.0), []),
        ((0.05, 0.05), (0.86, 1.14), []),  # both intervals reach into the band
        ((0.01, 0.01), (1.0, 0.5), ["sky of spiral"]),  # smooth images, of the best KID
        ((0.01, 0.01), (1.5, 0.5), ["sky of ring, spiral"]),
        ((0.01, 0.01), (np.nan, 1.0), ["sky of ring"]),
    ],
)
def test_a_setting_needs_the_kid_of_the_reference_and_the_sky_of_every_class(kids, skies, flaws):
    assert row("ddim", 10, kids, skies).flaws(REFERENCE) == flaws


def test_the_choice_is_the_fewest_calls_that_are_acceptable():
    smooth, good = row("heun", 5, (0.0, 0.0), (0.4, 0.4)), row("unipc", 18, (0.05, 0.055))
    rows = [row("ddim", 25, (0.04, 0.04)), smooth, good, row("unipc", 5, (0.2, 0.2)), REFERENCE]
    assert choice(rows, REFERENCE) is good
    assert choice([smooth], smooth) is None
    table = markdown(rows, REFERENCE, {"ring": REFERENCE.classes["ring"]})
    assert "4 settings were compared with the reference. Fewest calls of those acceptable: unipc with 18 steps" in table
    assert "| heun | 5 | 2 | 10 | 0.5 | 0.00 [-7.07, 7.07] | 0.40 to 0.40 | no: sky of ring, spiral |" in table
    assert table.count("| ring | real galaxies | 30 | 20 |") == 1
    assert "No setting is acceptable." in markdown([smooth], smooth, {})


def test_a_row_survives_json():
    figures = dataclasses.replace(REFERENCE.classes["ring"], recall=None)
    found = Row(Setting("heun", 18, 2.0, (0.3, 3.0)), 45.0, 0.5, {"ring": figures})
    assert row_of(json.loads(json.dumps(dataclasses.asdict(found)))) == found
    assert row_of(json.loads(json.dumps(dataclasses.asdict(REFERENCE)))) == REFERENCE


def test_settings_are_all_combinations_once_and_the_reference_first(tmp_path):
    config = Config(
        "model", "data", tmp_path, schedulers=["heun", "unipc"], steps=[10, None], guidance_scales=[2.0, 1.0]
    )
    config.guidance_intervals = [None, (0.3, 3.0)]
    found = settings_of(config)
    assert found[0] == Setting("ddpm", 1000, 2.0)
    assert found[1:4] == [Setting("heun", 10, 2.0), Setting("heun", 10, 2.0, (0.3, 3.0)), Setting("heun", 10, 1.0)]
    assert len(found) == 1 + 2 * 2 * 3, "without guidance there is no interval of it"
    assert Setting("heun", 18, 2.0) in found, "the steps that Heun needs"
    assert len({setting.name for setting in found}) == len(found)
    config.reference = False
    assert settings_of(config)[0] == Setting("heun", 10, 2.0)
    config.schedulers = ["plms"]
    with pytest.raises(UserError, match="no scheduler 'plms'"):
        settings_of(config)


def test_a_lost_sky_is_seen_beside_the_floor(small_features):
    real = measure(noisy(2.3, 60), 32)
    sets = Sets(np.arange(30), np.arange(30, 60), np.arange(40))
    good, smooth = (beside_real(measure(noisy(sigma, seed=1), 32), real, sets) for sigma in (2.3, 1.0))
    assert good.sky_amplitude.low < 1 < good.sky_amplitude.high
    assert smooth.sky_amplitude.high < 0.6
    blurred = gaussian_filter(noisy(4.0, seed=2), 0.7, axes=(1, 2))
    assert beside_real(measure(blurred, 32), real, sets).high_frequency_power.high < -0.1
    assert (good.n_real, good.n_generated, good.n_recall) == (30, 40, 30)
    beside = floor(real, sets)
    assert beside.sky_amplitude.low > 0.9
    assert beside.sky_amplitude.high < 1.1
    assert beside.kid.low < 0 < beside.kid.high
    few = dataclasses.replace(sets, generated=np.arange(8))
    assert beside_real(measure(noisy(2.3, 8), 32), real, few).recall is None, "8 images say nothing"


def test_models_of_two_sizes_are_measured_at_one(small_features):
    large, small = (measure(noisy(4.0, side=side), 32) for side in (64, 32))
    assert len(large) == len(small) == 40
    assert np.median(large.sky) == pytest.approx(4.0 / 2, rel=0.2), "four pixels are averaged"


def test_real_galaxies_come_from_the_split_or_where_it_has_few_from_the_other(tmp_path):
    def galaxies(n: int, level: int) -> GalaxyArrays:
        images = np.full((n, 8, 8, 3), level, np.uint8)
        return GalaxyArrays(images, np.zeros(n, int), [""] * n, [""] * n, ("ring",))

    config = Config("model", "data", tmp_path, num_images=12, max_real=25)
    for first, reference, others in ((30, (25, 1), (12, 2)), (19, (25, 2), (12, 1))):
        images, sets = choose_real(galaxies(first, 1), galaxies(40, 2), "ring", config)
        levels = [(len(rows), *np.unique(images[rows])) for rows in (sets.reference, sets.others)]
        assert levels == [reference, others]
        assert len(images) == 37, "no more are measured than are compared"


def test_a_measurement_goes_on_where_it_was_interrupted(tiny_model, toy_data, tmp_path, small_features, monkeypatch):
    settings = {"schedulers": ["unipc", "heun"], "steps": [2], "guidance_scales": [1.0, 2.0], "reference": False}
    config = Config(str(tiny_model), str(toy_data), tmp_path, **settings, num_images=4, split="train", batch_size=3)
    real_draw, calls = drawn_images.generate_batch, []

    def draw(*args, **kwargs):
        calls.append(args)
        if len(calls) == 11:
            raise KeyboardInterrupt
        return real_draw(*args, **kwargs)

    monkeypatch.setattr(drawn_images, "generate_batch", draw)
    with pytest.raises(KeyboardInterrupt):
        sampling_quality.main(config)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1
    sampling_quality.main(config)
    rows = [row_of(json.loads(line)) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [r.unet_calls for r in rows] == [2, 4, 3, 6], "two of a guided step; Heun calls twice but in the last"
    assert len(calls) == 1 + 4 * 4 * 2, "nothing is drawn twice; four classes, as there are too few cigars; two batches"
    assert "cigar_shaped_smooth" not in rows[0].classes
    drawn = [np.load(path)["images"] for path in sorted((tmp_path / "images").glob("unipc-2-w1-*.npz"))]
    assert not any((drawn[0][0] == images[0]).all() for images in drawn[1:]), "each class has its own seeds"
    assert (tmp_path / "table.md").read_text().startswith("| scheduler | steps |")
    assert (tmp_path / "figure.png").exists()
    with pytest.raises(UserError, match="holds a run with another num_images"):
        sampling_quality.main(dataclasses.replace(config, num_images=5))
    with pytest.raises(UserError, match="measure_at 640"):
        sampling_quality.main(dataclasses.replace(config, measure_at=640))


def test_galaxies_that_the_model_has_seen_are_no_validation(tiny_model, toy_data, tmp_path, monkeypatch):
    def load(data, split, **options):
        return load_arrays(data, "train", **options)

    monkeypatch.setattr(sampling_quality, "load_arrays", load)
    config = Config(str(tiny_model), str(toy_data), tmp_path, schedulers=["unipc"], steps=[2], reference=False)
    with pytest.raises(UserError, match="of the validation split, so results would be worthless"):
        sampling_quality.main(config)
