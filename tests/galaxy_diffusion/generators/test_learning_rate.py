"""The learning rate rises, is held, and falls."""

import pytest

from galaxy_diffusion.generators.learning_rate import LearningRateConfig, learning_rate_at


def test_the_learning_rate_rises_is_held_and_falls():
    settings = LearningRateConfig(2e-4, warmup_images=100, cooldown_images=200)
    rates = [learning_rate_at(end - 10, end, 1000, settings) / 2e-4 for end in range(10, 1001, 10)]
    assert rates[:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert set(rates[9:81]) == {1.0}
    assert rates[81:] == pytest.approx([1 - 0.05 * i for i in range(1, 20)])
    held = LearningRateConfig(2e-4, warmup_images=0, cooldown_images=0)
    assert {learning_rate_at(end - 10, end, 1000, held) for end in (10, 1000)} == {2e-4}
