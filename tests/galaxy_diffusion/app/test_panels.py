"""The charts put their marks where the numbers are, and nothing of a name becomes markup."""

import re

import numpy as np
import pytest

from galaxy_diffusion.app.novelty import Neighbour, Novelty
from galaxy_diffusion.app.panels import novelty_panel, probability_panel, shape_panel
from galaxy_diffusion.evaluation.copy_search import Threshold
from galaxy_diffusion.evaluation.quartiles import SHAPES, Quartiles
from galaxy_diffusion.prediction.probabilities import predict

MIDDLE = Quartiles(low=0.4, median=0.5, high=0.6, n=41)


def marks(html: str) -> list[float]:
    return [float(left) for left in re.findall(r'class="mark" style="left:([\d.]+)%', html)]


def test_a_galaxy_like_the_median_is_in_the_middle_of_the_scale():
    html = shape_panel(dict.fromkeys(SHAPES, 0.5), dict.fromkeys(SHAPES, MIDDLE), "edge_on")
    assert marks(html) == [50.0] * len(SHAPES)
    assert "41 real galaxies" in html
    assert "Edge-on" in html


def test_a_shape_that_could_not_be_measured_has_no_mark():
    html = shape_panel(dict.fromkeys(SHAPES, float("nan")), dict.fromkeys(SHAPES, MIDDLE), "edge_on")
    assert not marks(html)
    assert html.count("not measurable") == len(SHAPES)


def test_without_real_shapes_the_value_stands_alone_and_it_is_said():
    html = shape_panel(dict.fromkeys(SHAPES, 0.5), None, "ring")
    assert html.count("0.50") == len(SHAPES)
    assert "not known" in html


@pytest.mark.parametrize(("distance", "verdict"), [(0.2, "This is a copy"), (0.9, "No copy")])
def test_the_verdict_follows_the_threshold(distance, verdict):
    picture = np.zeros((4, 4, 3), np.uint8)
    neighbour = Neighbour(picture, "<b>7</b>", "", distance)
    html = novelty_panel(Novelty(picture, [neighbour], Threshold(0.5, 0.01, 300), 2804))
    assert verdict in html
    assert "2,804" in html
    assert "&lt;b&gt;7" in html


def test_probabilities_come_in_order_with_their_spread():
    logits = np.log([[[0.2, 0.7, 0.1]], [[0.3, 0.5, 0.2]]])
    html = probability_panel(predict(logits), ["ring", "<i>bar", "spiral"], 2)
    assert html.index("&lt;i&gt;bar") < html.index("Ring") < html.index("Spiral")
    assert "0.60 ± 0.14" in html
    assert "100% of them" in html
    assert "±" not in probability_panel(predict(logits[:1]), ["ring", "bar", "spiral"], 1)
