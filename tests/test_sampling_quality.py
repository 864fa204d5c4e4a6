"""benchmarks/sampling_quality.py: the rule by which a sampler is called not worse."""

import numpy as np
import pytest

from benchmarks.drawn_images import drawn_images
from benchmarks.sampling_quality import markdown, mean_kid, not_worse


def row(scheduler: str, steps: int, *scores: float, half: float = 0.01) -> dict:
    kid = {
        name: {"value": value, "low": value - half, "high": value + half, "n_real": 30, "n_generated": 20}
        for name, value in zip(("ring", "spiral"), scores, strict=True)
    }
    return {"scheduler": scheduler, "steps": steps, "unet_calls": steps, "kid": kid}


REFERENCE = row("ddpm", 1000, 0.05, 0.05)


def test_errors_of_classes_add_in_square():
    mean = mean_kid(row("ddim", 5, 0.02, 0.06))
    assert (mean.value, mean.high - mean.value) == pytest.approx((0.04, 0.01 / 2**0.5))


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((0.05, 0.05), True),
        ((0.056, 0.056), True),  # the reference's interval of the mean ends at 0.0571
        ((0.058, 0.058), False),
        ((0.02, 0.069), True),
        ((0.02, 0.071), False),  # good on average, and one class clearly worse
    ],
)
def test_not_worse_is_on_average_and_in_every_class(scores, verdict):
    assert not_worse(row("ddim", 10, *scores), REFERENCE) is verdict


def test_the_choice_is_the_fewest_calls_that_are_not_worse():
    rows = [row("unipc", 5, 0.2, 0.2), row("ddim", 25, 0.04, 0.04), row("unipc", 10, 0.05, 0.055), REFERENCE]
    table = markdown(rows, ("ddpm", 1000))
    assert "Fewest calls that are not worse: unipc with 10 steps." in table
    assert "3 settings were compared with the reference, ddpm with 1000 steps." in table
    assert "| unipc | 5 | 5 | 200.00 [192.93, 207.07] |" in table
    assert table.count("| no |") == 1
    timed = [row | {"images_per_second": 1.0} for row in rows]
    assert markdown(timed, ("ddpm", 1000)) == table, "lines of an earlier version are read as well"


def test_images_that_an_earlier_version_drew_are_not_drawn_again(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    np.savez(tmp_path / "ddim-5-ring.npz", images=images, seconds=np.array(1.0))
    found = drawn_images(tmp_path / "ddim-5-ring.npz", None, "ring", range(2), 2.0, 5, batch_size=2)
    np.testing.assert_array_equal(found, images)
