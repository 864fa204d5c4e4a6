"""The settings that every generator's training has, whatever the net."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from galaxy_diffusion.shared.run_folder import FREE


@dataclass
class TrainingConfig:
    """Settings of a training."""

    data: str = field(metadata=FREE)
    """Folder of python -m gz2_dataset build, Hub id, or a folder with one subfolder per class."""
    output_dir: Path = field(metadata=FREE)
    """Becomes the pipeline's folder; until then it holds checkpoints, samples and metrics.jsonl."""
    resolution: int = 32
    """Side of the images in pixels."""
    class_balance: float = 0.0
    """Share of the labelled images that are drawn class by class instead of as they come."""
    total_images: int = field(default=1_000_000, metadata=FREE)
    """Length of the training in images seen."""
    batch_size: int = 64
    """Images per step, over all processes."""
    ema_decay: float = 0.9999
    """Limit of the decay of the weights' moving average, which is what is saved and sampled."""
    mixed_precision: Literal["no", "bf16", "fp16"] | None = None
    """Precision of the net; None leaves it to accelerate launch."""
    seed: int = 0
    """Everything random follows from it and the number of images seen."""
    log_images: int = field(default=1_000, metadata=FREE)
    """Images between two lines of metrics.jsonl."""
    sample_images: int = field(default=20_000, metadata=FREE)
    """Images between two sample grids in samples/."""
    checkpoint_images: int = field(default=10_000, metadata=FREE)
    """Images between two checkpoints."""
    report_to: Literal["tensorboard", "trackio", "wandb"] | None = field(default=None, metadata=FREE)
    """Also log to a tracker."""
    push_to_hub: str | None = field(default=None, metadata=FREE)
    """Hub id to upload the finished model to."""
