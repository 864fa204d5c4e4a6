"""Training images a second of train_classifier.py against a bare loop with the same net, images and precision.

    python benchmarks/classifier_throughput.py --data DIR --output_dir runs/benchmarks/classifier_throughput

The bare loop takes the batches as they are made, and does what the training is: autocast, cross entropy, gradients
clipped to a norm of 1, AdamW, the learning rate's cosine. Both run in turns and must end with the same weights.
"""

import json
import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from timm.optim import param_groups_weight_decay
from torch.nn import functional as F
from transformers import get_cosine_schedule_with_warmup, set_seed

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train_classifier  # noqa: E402
from galaxy_diffusion.classifier_data import TrainingBatches  # noqa: E402
from galaxy_diffusion.classifier_model import make_model  # noqa: E402
from galaxy_diffusion.cores import use_all_cores  # noqa: E402
from galaxy_diffusion.run_state import write_json  # noqa: E402
from gz2_dataset import UserError, load_arrays  # noqa: E402
from gz2_dataset.command_line import provenance, run  # noqa: E402


@dataclass
class Config:
    """Settings of the comparison; those of the net are those of configs/classifier_swin_mini.yaml.

    Attributes
    ----------
    data : str
        Any data that train_classifier.py takes.
    output_dir : Path
        Gets throughput.json and the runs.
    backbone : str
        Name of a model in timm.
    model_args : dict[str, Any]
        Passed on to timm.create_model.
    resolution : int
        Side of the images in pixels.
    batch_size : int
        Images a step.
    steps : int
        Steps of a run; the first quarter is not counted.
    rounds : int
        Runs of each loop.
    mixed_precision : str
        no or bf16.
    """

    data: str
    output_dir: Path
    backbone: str = "swin_tiny_patch4_window7_224"
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
    resolution: int = 32
    batch_size: int = 32
    steps: int = 80
    rounds: int = 5
    mixed_precision: str = "bf16"


def main(config: Config) -> None:
    if config.output_dir.exists():
        raise UserError(f"{config.output_dir}: exists; give another --output_dir")
    use_all_cores()
    settings = train_classifier.Config(
        config.data,
        str(config.output_dir),
        backbone=config.backbone,
        model_args=config.model_args,
        resolution=config.resolution,
        batch_size=config.batch_size,
        max_steps=config.steps,
        warmup_steps=1,
        mixed_precision=config.mixed_precision,
        logging_steps=config.steps // 4,
        eval_steps=10**9,
        save_steps=10**9,
    )
    rates: dict[str, list[float]] = {"train_classifier.py": [], "bare loop": []}
    for i in range(config.rounds):
        ours, weights = replace(settings, output_dir=str(config.output_dir / f"ours-{i}")), []
        loops = [("train_classifier.py", our_run), ("bare loop", bare_run)]
        for name, loop in loops if i % 2 else reversed(loops):
            rate, trained = loop(ours)
            rates[name].append(rate)
            weights.append(trained)
        if different := next(
            (key for key in weights[0] if not torch.equal(*(trained[key] for trained in weights))), None
        ):
            raise UserError(f"{different}: the two loops have not done the same; their speeds cannot be compared")
        print({name: round(values[-1], 1) for name, values in rates.items()}, flush=True)
    ratios = [mine / its for mine, its in zip(*rates.values(), strict=True)]
    for name, values in rates.items():
        print(f"{name:20s} {statistics.median(values):8.1f} images/s ({min(values):.1f} to {max(values):.1f})")
    print(f"ratio {statistics.median(ratios):.3f}, median of pairs ({min(ratios):.3f} to {max(ratios):.3f})")
    write_json(
        config.output_dir / "throughput.json", {**provenance(config), "images_per_second": rates, "ratios": ratios}
    )


def our_run(settings: train_classifier.Config) -> tuple[float, dict[str, torch.Tensor]]:
    """Images a second of train_classifier.py without the first quarter of its steps, and the weights it ends with."""
    train_classifier.main(settings)
    lines = [json.loads(line) for line in (Path(settings.output_dir) / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "loss" in line]
    images = lines[-1]["images_seen"] - lines[0]["images_seen"]
    rate = images / (lines[-1]["seconds"] - lines[0]["seconds"])
    return rate, load_file(Path(settings.output_dir) / "model.safetensors")


def bare_run(settings: train_classifier.Config) -> tuple[float, dict[str, torch.Tensor]]:
    """The same of a loop that is nothing but the training."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train = load_arrays(settings.data, "train", settings.resolution, settings.center_crop, jpeg=True)
    set_seed(settings.seed)
    model = make_model(settings.backbone, settings.model_args, False, settings.resolution, train.class_names).to(device)
    normalisation = (model.config.pretrained_cfg[key] for key in ("mean", "std"))
    size, steps = settings.batch_size, settings.max_steps
    batches = TrainingBatches([train], *normalisation, steps * size, settings.seed)
    groups = param_groups_weight_decay(model, settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, settings.warmup_steps, steps)
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
        if step + 1 == steps // 4:
            synchronise()
            started = time.monotonic()
    synchronise()
    rate = (steps - steps // 4) * size / (time.monotonic() - started)
    return rate, {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
