"""Which generated images are called not good enough to train on."""

import pytest

from galaxy_diffusion.evaluation.beside_floor import BesideFloor
from galaxy_diffusion.evaluation.good_enough import not_good_enough


def figure(value: float, low: float, high: float, floor: tuple[float, float, float] | None) -> BesideFloor:
    return BesideFloor(value, low, high, 60, 60, *(floor or (None, None, None)))


@pytest.mark.parametrize(
    ("metric", "found", "called"),
    [
        ("label_agreement", figure(0.08, 0.03, 0.17, (0.9, 0.8, 0.96)), True),
        ("label_agreement", figure(0.85, 0.75, 0.92, (0.9, 0.8, 0.96)), False),
        ("label_agreement", figure(0.08, 0.03, 0.17, None), False),
        ("probe_auc_inception", figure(0.89, 0.84, 0.93, (0.51, 0.4, 0.6)), True),
        ("probe_auc_inception", figure(0.89, 0.74, 0.97, (0.51, 0.4, 0.6)), False),
        ("probe_auc_inception", figure(0.6, 0.55, 0.65, (0.51, 0.4, 0.54)), False),
        ("kid_inception", figure(900, 800, 999, (1, 0, 2)), False),
    ],
)
def test_only_what_is_sure_is_said(metric, found, called):
    sentences = not_good_enough({"all": {metric: found}, "ring": {metric: found}})
    assert len(sentences) == called
    assert all(sentence.startswith("Ring: not good enough to train on: a ") for sentence in sentences)
