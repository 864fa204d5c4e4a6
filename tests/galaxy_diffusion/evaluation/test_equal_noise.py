"""Noise is added to the quieter side, until the skies agree, and only what has changed is measured again."""

import numpy as np
import pandas as pd
import pytest

from galaxy_diffusion.evaluation.equal_noise import at_equal_noise, equally_noisy
from galaxy_diffusion.evaluation.pair import Both, RealAndGenerated
from galaxy_diffusion.shared.sky import sky_amplitude
from gz2_dataset import GalaxyArrays

CLASSES = ("ring", "bar")


def sky(n: int, amplitude: float, seed: int) -> np.ndarray:
    """Skies whose noise scatters by 20 % from image to image."""
    rng = np.random.default_rng(seed)
    each = amplitude * rng.uniform(0.8, 1.2, (n, 1, 1, 1))
    return (40 + each * rng.normal(size=(n, 64, 64, 3))).clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("order", [1, -1])
def test_the_quieter_side_gets_noise_whichever_it_is_and_the_other_stays(order):
    quiet, noisy = sky(60, 1.2, 0), sky(40, 2.5, 1)
    found, same = equally_noisy(*(quiet, noisy)[::order])[::order]
    np.testing.assert_array_equal(same, noisy)
    for share in (0.1, 0.5, 0.9):
        ends = [np.quantile(sky_amplitude(side), share) for side in (found, noisy)]
        assert ends[0] == pytest.approx(ends[1], rel=0.05)


def arrays(images: np.ndarray, labels: np.ndarray, prefix: str) -> GalaxyArrays:
    ids = [f"{prefix}{i}" for i in range(len(labels))]
    return GalaxyArrays(images, labels, ids, ids, CLASSES)


def test_only_images_that_have_changed_are_measured_again_class_by_class():
    labels = np.repeat([0, 1], 20)
    real = arrays(np.concatenate([sky(20, 2.5, 0), sky(20, 1.2, 1)]), labels, "real")
    generated = arrays(np.concatenate([sky(20, 1.2, 2), sky(20, 2.5, 3)]), labels, "generated")
    pair = RealAndGenerated(generated, real, real.take(np.arange(0)), [])
    measured = Both(*(pd.DataFrame({"noise": sky_amplitude(side.images)}) for side in (pair.real, pair.generated)))
    asked = []

    def measure(images: np.ndarray) -> pd.DataFrame:
        asked.append(len(images))
        return pd.DataFrame({"noise": sky_amplitude(images)})

    found = at_equal_noise(pair, measured, measure)
    assert asked == [20, 20]  # the real bars and the generated rings
    for name in CLASSES:
        sides = [side["noise"].median() for side in pair.of_class(name, found)]
        assert sides[0] == pytest.approx(sides[1], rel=0.05)
    assert measured.generated["noise"][:20].max() < 1.6, "what was measured before has stayed"
