"""A row of the table of metrics is measured and printed; figures whose answer is known."""

import numpy as np
import pytest
import torch

from galaxy_diffusion.evaluation import questions
from galaxy_diffusion.evaluation.features import FeatureNet
from galaxy_diffusion.evaluation.metrics import METRICS, Metric, metric_title
from galaxy_diffusion.evaluation.pair import RealAndGenerated
from gz2_dataset import GalaxyArrays

N, SIDE = 40, 8


def galaxies(level: float, seed: int, kind: str) -> GalaxyArrays:
    """Grey images, whose levels scatter by 10."""
    levels = np.random.default_rng(seed).normal(level, 10, N).clip(0, 255).astype(np.uint8)
    images = np.repeat(levels, SIDE * SIDE * 3).reshape(N, SIDE, SIDE, 3)
    names = [f"{kind}{i}" for i in range(N)]
    return GalaxyArrays(images, np.zeros(N, int), names, names, ("ring",))


@pytest.fixture(scope="module")
def pair() -> RealAndGenerated:
    """Generated images are brighter than real ones by 50 grey levels."""
    seen = galaxies(100, 2, "seen")
    return RealAndGenerated(
        galaxies(150, 3, "new"), galaxies(100, 0, "val"), galaxies(100, 1, "test"), [(seen, np.arange(N))]
    )


def brightness(images: np.ndarray) -> dict[str, np.ndarray]:
    return {"brightness": images.mean(axis=(1, 2, 3))}


def of_all(metric: Metric, pair: RealAndGenerated):
    (figures,) = questions.of_images(metric, pair, {"all": pair.sets(0)["all"]}, 0).metrics.values()
    return figures


def test_without_a_distance_the_medians_of_both_sides_stand_side_by_side(pair):
    (figure,) = of_all(Metric(brightness), pair).values()
    assert figure.low <= figure.value <= figure.high
    assert (figure.value, figure.floor) == pytest.approx((150, 100), abs=6)
    assert (figure.n_generated, figure.n_real) == (N, 2 * N)


def test_a_distance_has_an_interval_and_the_floor_of_real_images(pair):
    def apart(real: np.ndarray, generated: np.ndarray) -> float:
        return float(abs(real.mean() - generated.mean()))

    found = of_all(Metric(brightness, apart), pair)
    figure = found["brightness"]
    assert list(found) == ["brightness"]
    assert figure.low <= 50 <= figure.high
    assert figure.floor_high < 10 < figure.low
    assert (figure.n_generated, figure.n_real) == (N, 2 * N)


def test_only_inceptions_features_give_a_fid(pair, monkeypatch):
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    sets = {"all": pair.sets(0)["all"]}

    def metrics_of(name: str) -> set[str]:
        net = FeatureNet(name, model, SIDE, [0.0], [255.0], "mean colour")
        monkeypatch.setattr(questions, "load_net", lambda _: net)
        monkeypatch.setattr("galaxy_diffusion.evaluation.features.load_net", lambda _: net)
        return set(questions.feature_distances(pair, sets, name, 8, 0).metrics["all"])

    assert metrics_of("inception") == {"fid", "kid", "precision", "recall", "density", "coverage"}
    assert metrics_of("dinov2") == {"frechet_dinov2"}


def test_a_row_may_say_how_its_figures_are_printed(monkeypatch):
    assert metric_title("brightness") == "Brightness"
    row = Metric(brightness, titles={"brightness": "Mean level"})
    monkeypatch.setattr("galaxy_diffusion.evaluation.metrics.METRICS", (*METRICS, row))
    assert metric_title("brightness") == "Mean level"
