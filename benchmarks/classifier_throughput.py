"""Training images per second of train_classifier.py against a bare loop with the same net, images and precision.

    python benchmarks/classifier_throughput.py --data DIR --output_dir runs/benchmarks/classifier_throughput

The bare loop takes the batches as they are made, and does only the training itself: autocast, cross entropy, gradients
clipped to a norm of 1, AdamW, the cosine of the learning rate. Both train in one process, taking turns of some steps,
so that whatever slows the machine down slows both; they must end with the same weights.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.stats import bootstrap
from timm.optim import param_groups_weight_decay
from torch.nn import functional as F
from transformers import get_cosine_schedule_with_warmup, set_seed

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train_classifier  # noqa: E402
from galaxy_diffusion.classifiers.data import TrainingBatches  # noqa: E402
from galaxy_diffusion.classifiers.model import make_model  # noqa: E402
from galaxy_diffusion.classifiers.trainer import Progress  # noqa: E402
from galaxy_diffusion.shared.machine import use_all_cores  # noqa: E402
from galaxy_diffusion.shared.run_folder import write_json  # noqa: E402
from gz2_dataset import GalaxyArrays, UserError, load_arrays  # noqa: E402
from gz2_dataset.command_line import provenance, run  # noqa: E402


@dataclass
class Config:
    """Settings of the comparison; those of the net are those of configs/classifier_swin_mini.yaml."""

    data: str
    """Any data that train_classifier.py takes."""
    output_dir: Path
    """Receives throughput.json and the run."""
    backbone: str = "swin_tiny_patch4_window7_224"
    """Name of a model in timm."""
    model_args: dict[str, Any] = field(
        default_factory=lambda: {
            "patch_size": 4,
            "window_size": 4,
            "embed_dim": 64,
            "depths": [2, 4],
            "num_heads": [4, 8],
            "drop_path_rate": 0.0,
        }
    )
    """Passed on to timm.create_model; the net must not contain anything random, because both loops draw from one
    stream."""
    resolution: int = 32
    """Side of the images in pixels."""
    batch_size: int = 32
    """Images per step."""
    steps: int = 400
    """Steps of each loop; the first quarter is not counted."""
    turn: int = 4
    """Steps of one loop before it is the other's turn; on a GPU some 50, because it only works ahead within a turn."""
    mixed_precision: str = "bf16"
    """no or bf16."""


def main(config: Config) -> None:
    if config.output_dir.exists():
        raise UserError(f"{config.output_dir}: exists; give another --output_dir")
    if config.steps % config.turn:
        raise UserError(f"steps {config.steps} is not divisible by turn {config.turn}")
    use_all_cores()
    settings = train_classifier.Config(
        config.data,
        config.output_dir / "run",
        backbone=config.backbone,
        model_args=config.model_args,
        resolution=config.resolution,
        batch_size=config.batch_size,
        total_images=config.steps * config.batch_size,
        warmup_images=config.batch_size,
        mixed_precision=config.mixed_precision,
        validation_images=0,
        checkpoint_images=10**12,
    )
    train = load_arrays(settings.data, "train", settings.resolution, jpeg=True)
    set_seed(settings.seed)
    model = make_model(settings.backbone, settings.model_args, False, settings.resolution, train.class_names)
    loop = bare_loop(settings, model.to("cuda" if torch.cuda.is_available() else "cpu"), train, config.turn)
    seconds: dict[str, list[float]] = {"train_classifier.py": [], "bare loop": []}

    class InTurns(Progress):
        """Runs a turn of the bare loop after each turn of the training."""

        def on_step_begin(self, args, state, control, **kwargs) -> None:
            if state.global_step == 0:
                self.began = now()

        def on_step_end(self, args, state, control, **kwargs) -> None:
            super().on_step_end(args, state, control, **kwargs)
            if state.global_step % config.turn == 0:
                ended = now()
                next(loop)
                seconds["train_classifier.py"].append(ended - self.began)
                self.began = now()
                seconds["bare loop"].append(self.began - ended)

    train_classifier.Progress = InTurns
    train_classifier.main(settings)

    trained = load_file(settings.output_dir / "model.safetensors")
    if different := next(
        (key for key, value in model.state_dict().items() if not torch.equal(value.cpu(), trained[key])), None
    ):
        raise UserError(f"{different}: the two loops have not done the same; their speeds cannot be compared")
    counted = {name: np.array(values[len(values) // 4 :]) for name, values in seconds.items()}
    rates = {name: config.turn * config.batch_size / values for name, values in counted.items()}
    for name, values in rates.items():
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        print(f"{name:20s} {middle:8.1f} images/s ({low:.1f} to {high:.1f} in 9 of 10 turns)")
    ours, its = counted.values()
    low, high = bootstrap(
        (its, ours), lambda a, b: a.sum(-1) / b.sum(-1), paired=True, vectorized=False, rng=0
    ).confidence_interval
    ratio = its.sum() / ours.sum()
    print(f"ratio {ratio:.3f} [{low:.3f}, {high:.3f}], {len(ours)} pairs of turns")
    write_json(
        config.output_dir / "throughput.json",
        {**provenance(config), "seconds_a_turn": seconds, "ratio": ratio, "ratio_low": low, "ratio_high": high},
    )


def bare_loop(
    settings: train_classifier.Config, model: torch.nn.Module, train: GalaxyArrays, turn: int
) -> Iterator[None]:
    """Nothing but the training; yields after every ``turn`` steps."""
    device = model.device
    normalisation = (model.config.pretrained_cfg[key] for key in ("mean", "std"))
    size = settings.batch_size
    steps, warmup = settings.total_images // size, settings.warmup_images // size
    batches = TrainingBatches([train], *normalisation, steps * size, settings.seed)
    groups = param_groups_weight_decay(model, settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup, steps)
    model.train()
    for step in range(steps):
        batch = {
            name: value.to(device)
            for name, value in batches.__getitems__(range(step * size, (step + 1) * size)).items()
        }
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.mixed_precision == "bf16"):
            logits = model(batch["pixel_values"]).logits
        F.cross_entropy(logits.float(), batch["labels"]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if (step + 1) % turn == 0:
            yield


def now() -> float:
    """The time once the device has finished all its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
