"""The settings that every generator's training has, whatever the net."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from galaxy_diffusion.shared.hub_target import HubConfig
from galaxy_diffusion.shared.run_folder import FREE
from gz2_dataset.ranges import Checked, at_least, between


@dataclass
class TrainingConfig(HubConfig, Checked):
    """Settings of a training."""

    data: str = field(metadata=FREE)
    """Folder of python -m gz2_dataset build, Hub id, or a folder with one subfolder per class."""
    output_dir: Path = field(metadata=FREE)
    """Becomes the pipeline's folder; until then it holds checkpoints, samples and metrics.jsonl."""
    resolution: int = field(default=32, metadata=between(1, 4096))
    """Side of the images in pixels."""
    class_balance: float = field(default=0.0, metadata=between(0, 1))
    """Share of the labelled images that are drawn class by class instead of as they come."""
    total_images: int = field(default=1_000_000, metadata=FREE | at_least(1))
    """Length of the training in images seen."""
    batch_size: int = field(default=64, metadata=at_least(1))
    """Images per step, over all processes."""
    ema_decay: float = field(default=0.9999, metadata=between(0, 1))
    """Limit of the decay of the weights' moving average, which is what is saved and sampled."""
    mixed_precision: Literal["no", "bf16", "fp16"] | None = None
    """Precision of the net; None leaves it to accelerate launch."""
    seed: int = field(default=0, metadata=at_least(0))
    """Everything random follows from it and the number of images seen."""
    log_images: int = field(default=1_000, metadata=FREE | at_least(0))
    """Images between two lines of metrics.jsonl."""
    sample_images: int = field(default=20_000, metadata=FREE | at_least(0))
    """Images between two sample grids in samples/."""
    checkpoint_images: int = field(default=10_000, metadata=FREE | at_least(0))
    """Images between two checkpoints."""
    report_to: Literal["tensorboard", "trackio", "wandb"] | None = field(default=None, metadata=FREE)
    """Also log to a tracker."""
