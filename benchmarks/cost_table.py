"""What the generator presets cost, with their patches and without: arithmetic, memory, and images a second here.

    python benchmarks/cost_table.py --output OUT.md --mixed_precision bf16

The net and the loss alone are timed, forward and backward, on images of noise: no data and no optimiser.
"""

import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

import train_ddpm
from galaxy_diffusion.generators.batches import Batch, Batches
from galaxy_diffusion.generators.conditioning import Conditioning
from galaxy_diffusion.generators.cost import Cost, cost_of
from galaxy_diffusion.generators.objective import Objective, make_noise_scheduler
from galaxy_diffusion.generators.unet import make_unet
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from galaxy_diffusion.shared.machine import use_all_cores
from gz2_dataset import GalaxyArrays
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import run
from gz2_dataset.markdown import markdown_table

ROOT = Path(__file__).parent.parent
CLASSES = ("completely_round_smooth", "in_between_smooth", "cigar_shaped_smooth", "edge_on", "spiral")


@dataclass
class Config:
    """Settings of the measurement."""

    output: Path
    """Markdown file."""
    presets: list[str] = field(
        default_factory=lambda: ["ddpm_32", "ddpm_64", "ddpm_128", "ddpm_224_patch", "ddpm_224_patch_gpu", "ddpm_224"]
    )
    """Names of presets in configs/."""
    batch_size: int = 8
    """Images at once."""
    seconds: float = 10.0
    """Time to measure each net for, after one step to warm up; a step that takes longer counts alone."""
    compile: bool = False
    """Compile the nets first, as a training does with --compile true."""
    mixed_precision: Literal["no", "bf16"] = "no"
    """Precision of the net."""


def main(config: Config) -> None:
    use_all_cores()
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    rows = []
    for name in tqdm(config.presets, desc="presets"):
        said = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
        preset = train_ddpm.Config(data="", output_dir=Path(), **said)
        for patch_size in sorted({preset.patch_size, 1}, reverse=True):
            cost, speed = measured(replace(preset, patch_size=patch_size), config, accelerator)
            rows.append(
                [
                    f"`{name}`",
                    f"{preset.resolution} px",
                    str(patch_size),
                    f"{cost.parameters / 1e6:.1f} M",
                    f"{cost.flops / 1e9:,.1f}",
                    f"{cost.activation_bytes / 1e6:,.0f} MB",
                    f"{speed:.3g}",
                ]
            )
    head = ("preset", "images", "patch", "parameters", "GFLOP per image", "activations per image", "images/s")
    write_whole(config.output, markdown_table(head, rows) + "\n")
    print(config.output.read_text())


def measured(preset: train_ddpm.Config, config: Config, accelerator: Accelerator) -> tuple[Cost, float]:
    """What a training with these settings costs, and its images per second on this machine."""
    side, n, device = preset.resolution, config.batch_size, accelerator.device
    images = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)
    names = [str(i) for i in range(n)]
    galaxies = GalaxyArrays(images, np.arange(n) % len(CLASSES), names, names, CLASSES)
    conditioning = Conditioning(CLASSES, "class")
    batches = Batches(galaxies, galaxies, n, 0, preset.num_train_timesteps, 0.1, 0.0, 0.0, conditioning, device)
    noise_scheduler = make_noise_scheduler(preset.beta_schedule, preset.num_train_timesteps, preset.prediction_type)
    objective = Objective(noise_scheduler, image_format=ImageFormat(patch_size=preset.patch_size))
    unet = make_unet(preset, preset.resolution, len(conditioning.row_names))
    cost = cost_of(unet, torch.zeros(1, dtype=torch.int64))
    unet = accelerator.prepare(unet.to(memory_format=torch.channels_last))
    if config.compile:
        unet.compile()
    return cost, speed_of(accelerator, unet, objective, batches.at(0, 0, 1), config.seconds)


def speed_of(
    accelerator: Accelerator, unet: torch.nn.Module, objective: Objective, batch: Batch, seconds: float
) -> float:
    """Images per second, forward and backward."""
    steps, begun = -1, time.monotonic()
    while steps < 1 or time.monotonic() - begun < seconds:
        loss = objective.losses(unet, batch, accelerator.device).mean()
        accelerator.backward(loss)
        unet.zero_grad(set_to_none=True)
        loss.item()  # waits for a GPU
        steps += 1
        if not steps:  # the first step warms up
            begun = time.monotonic()
    return steps * len(batch.images) / (time.monotonic() - begun)


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
