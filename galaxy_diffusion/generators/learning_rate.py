"""How the learning rate rises and falls during a training."""

from dataclasses import dataclass, field

from galaxy_diffusion.shared.run_folder import FREE
from gz2_dataset.ranges import Checked, above, at_least


@dataclass
class LearningRateConfig(Checked):
    """Settings of an optimiser's steps."""

    learning_rate: float = field(default=2e-4, metadata=above(0))
    """Learning rate of AdamW after the warm-up."""
    warmup_images: int = field(default=10_000, metadata=at_least(0))
    """Images over which the learning rate rises from 0; 0 is no warm-up."""
    cooldown_images: int = field(default=0, metadata=FREE | at_least(0))
    """Images at the end over which the learning rate falls to 0; in this phase shapes straighten and sky settles."""
    max_grad_norm: float = field(default=1.0, metadata=above(0))
    """Gradients are scaled down to this norm."""


def learning_rate_at(begin: int, end: int, total_images: int, settings: LearningRateConfig) -> float:
    """The learning rate of a step: it rises from 0 in the warm-up, is held, and falls to 0 in the cool-down.

    Parameters
    ----------
    begin, end : int
        Images seen before and after the step.
    total_images : int
        Images after which the training ends.
    settings : LearningRateConfig

    Examples
    --------
    >>> settings = LearningRateConfig(learning_rate=1.0, warmup_images=20, cooldown_images=50)
    >>> [learning_rate_at(images - 10, images, 100, settings) for images in (10, 20, 50, 70, 100)]
    [0.5, 1.0, 1.0, 0.8, 0.2]
    """
    rising = end / max(1, settings.warmup_images)
    falling = (total_images - begin) / max(1, settings.cooldown_images)
    return settings.learning_rate * max(0.0, min(1.0, rising, falling))
