"""Training images per second of train_ddpm.py against another loop over the same UNet, images, batch and precision.

    python benchmarks/train_throughput.py --data DIR --output_dir runs/benchmarks/train_throughput
    python benchmarks/train_throughput.py --data DIR --output_dir ... --reference PATH/TO/train_unconditional.py

The other loop is diffusers' examples/unconditional_image_generation/train_unconditional.py if --reference names a copy
of it, and otherwise a plain loop that does what an example does: PIL images from a DataLoader with torchvision's
transforms, AdamW and its average without fusing, contiguous tensors, the loss read back every step. The two take turns.
"""

import json
import math
import runpy
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from unittest import mock

import torch
import torchvision
from accelerate import Accelerator
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from PIL import Image
from torch.profiler import profile
from torchvision import transforms

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train_ddpm  # noqa: E402
from galaxy_diffusion.generators.cost import cost_of  # noqa: E402
from galaxy_diffusion.generators.unet import make_unet  # noqa: E402
from galaxy_diffusion.shared.machine import use_all_cores  # noqa: E402
from galaxy_diffusion.shared.run_folder import write_json  # noqa: E402
from gz2_dataset import UserError, load_arrays  # noqa: E402
from gz2_dataset.command_line import provenance, run  # noqa: E402

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 FLOP/s from the makers' data sheets, by a part of the device's name."""


@dataclass
class Config:
    """Settings of the comparison."""

    data: str
    """Any data that train_ddpm.py takes."""
    output_dir: Path
    """Receives throughput.json, the images as files, and the runs."""
    reference: Path | None = None
    """A copy of diffusers' train_unconditional.py; it needs tensorboard."""
    resolution: int = 64
    """Side of the images in pixels."""
    block_out_channels: list[int] = field(default_factory=lambda: [32, 64, 128])
    """Of the UNet; with layers_per_block 2 and attention on the last level, 3.9 M parameters."""
    batch_size: int = 16
    """Images per step."""
    steps: int = 16
    """Steps of a run; the first quarter is not counted."""
    rounds: int = 3
    """Runs of each loop."""
    mixed_precision: str = "no"
    """no, bf16 or fp16."""
    compile: bool = False
    """Compile the UNet of train_ddpm.py."""
    other_threads: int | None = None
    """CPU threads of the other loop: 1 is what accelerate launch gives it, None as many as train_ddpm.py uses."""


def main(config: Config) -> None:
    if config.output_dir.exists():
        raise UserError(f"{config.output_dir}: exists; give another --output_dir")
    ours = train_ddpm.Config(
        config.data,
        config.output_dir / "ours",
        resolution=config.resolution,
        block_out_channels=config.block_out_channels,
        layers_per_block=2,
        attention_levels=[len(config.block_out_channels) - 1],
        unlabelled_share=0.0,
        total_images=config.steps * config.batch_size,
        batch_size=config.batch_size,
        mixed_precision=config.mixed_precision,
        compile=config.compile,
        log_images=config.steps * config.batch_size // 4,
        sample_images=0,
        checkpoint_images=10**9,
    )
    export_images(config, config.output_dir / "images" / "all")
    unconditional = UNet2DModel.from_config({**make_unet(ours, ours.resolution, 1).config, "num_class_embeds": None})
    unconditional.save_pretrained(config.output_dir / "unet")
    other = "train_unconditional.py" if config.reference else "plain loop"
    rates: dict[str, list[float]] = {"train_ddpm.py": [], other: []}
    for i in range(config.rounds):
        rates["train_ddpm.py"].append(our_rate(replace(ours, output_dir=config.output_dir / f"ours-{i}")))
        torch.set_num_threads(config.other_threads or torch.get_num_threads())
        rates[other].append(reference_rate(config, i) if config.reference else plain_rate(config))
        print({name: round(values[-1], 2) for name, values in rates.items()}, flush=True)

    use_all_cores()
    ratios = [mine / its for mine, its in zip(*rates.values(), strict=True)]
    flops = cost_of(make_unet(ours, ours.resolution, 2), torch.zeros(1, dtype=torch.int64)).flops
    peak = peak_flops()
    for name, values in rates.items():
        share = statistics.median(values) * flops / peak
        print(
            f"{name:24s} {statistics.median(values):8.2f} images/s ({min(values):.2f} to {max(values):.2f}), "
            f"{share:.1%} of the peak of {peak / 1e12:.2f} TFLOP/s"
        )
    print(f"ratio {statistics.median(ratios):.2f}, median of pairs ({min(ratios):.2f} to {max(ratios):.2f})")
    limit = convolution_rate(config)
    print(f"{'convolutions alone':24s} {limit:8.2f} images/s, {limit / statistics.median(rates[other]):.2f} of {other}")
    result = {"images_per_second": rates, "ratios": ratios, "flops_an_image": flops, "peak_flops": peak}
    result["convolutions_alone"] = limit
    write_json(config.output_dir / "throughput.json", {**provenance(config), **result})


def our_rate(config: train_ddpm.Config) -> float:
    """Images per second of train_ddpm.py without the first quarter of its steps."""
    train_ddpm.main(config)
    lines = [json.loads(line) for line in (config.output_dir / "metrics.jsonl").read_text().splitlines()]
    images = lines[-1]["images_seen"] - lines[0]["images_seen"]
    return images / (lines[-1]["seconds"] - lines[0]["seconds"])


def export_images(config: Config, folder: Path) -> None:
    """The training images as PNG files, as many as a run sees."""
    folder.mkdir(parents=True)
    images = load_arrays(config.data, "train", config.resolution).images
    for i in range(config.steps * config.batch_size):
        Image.fromarray(images[i % len(images)]).save(folder / f"{i:06d}.png")


def plain_rate(config: Config) -> float:
    """Images per second of a plain loop."""
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    steps = [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]
    images = torchvision.datasets.ImageFolder(config.output_dir / "images", transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(images, config.batch_size, shuffle=True)
    unet = UNet2DModel.from_pretrained(config.output_dir / "unet")
    average = EMAModel(unet.parameters(), decay=0.9999, use_ema_warmup=True)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-4)
    warm_up = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=10_000)
    unet, optimizer, loader, warm_up = accelerator.prepare(unet, optimizer, loader, warm_up)
    average.to(accelerator.device)
    scheduler, ends = DDPMScheduler(), []
    for clean, _ in loader:
        noise = torch.randn(clean.shape, device=clean.device)
        timesteps = torch.randint(scheduler.config.num_train_timesteps, (len(clean),), device=clean.device)
        prediction = unet(scheduler.add_noise(clean, noise, timesteps), timesteps).sample
        loss = torch.nn.functional.mse_loss(prediction.float(), noise)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        warm_up.step()
        optimizer.zero_grad()
        average.step(unet.parameters())
        if not math.isfinite(loss.item()):
            raise UserError("the plain loop's loss is not a number")
        ends.append(time.monotonic())
    return rate(config, ends)


def reference_rate(config: Config, i: int) -> float:
    """Images per second of diffusers' example, run as it is; a step ends when its average has been updated."""
    step, ends = EMAModel.step, []

    def timed(average: EMAModel, parameters: Iterable[torch.nn.Parameter]) -> None:
        step(average, parameters)
        ends.append(time.monotonic())

    options = {
        "train_data_dir": config.output_dir / "images",
        "model_config_name_or_path": config.output_dir / "unet",
        "output_dir": config.output_dir / f"reference-{i}",
        "resolution": config.resolution,
        "train_batch_size": config.batch_size,
        "num_epochs": 1,
        "mixed_precision": config.mixed_precision,
        "logger": "tensorboard",
        "ddpm_num_inference_steps": 1,
        "eval_batch_size": 1,
        "checkpointing_steps": 10**6,
    }
    words = [str(config.reference), "--use_ema", "--random_flip"]
    words += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with mock.patch.object(EMAModel, "step", timed), mock.patch.object(sys, "argv", words):
        runpy.run_path(str(config.reference), run_name="__main__")
    return rate(config, ends)


def convolution_rate(config: Config) -> float:
    """Images per second if only convolutions took time, which no loop over the UNet exceeds; best of four steps."""
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    unet = UNet2DModel.from_pretrained(config.output_dir / "unet").to(accelerator.device)
    noise = torch.randn(config.batch_size, 3, config.resolution, config.resolution, device=accelerator.device)
    seconds = []
    for _ in range(4):
        with profile() as profiler, accelerator.autocast():
            unet(noise, 0).sample.square().mean().backward()
        time_of = attrgetter(f"self_{'cpu' if accelerator.device.type == 'cpu' else 'device'}_time_total")
        seconds.append(sum(time_of(op) for op in profiler.key_averages() if "convolution" in op.key) / 1e6)
    return config.batch_size / min(seconds)


def rate(config: Config, ends: list[float]) -> float:
    """Images per second from the times at which steps ended, without the first quarter."""
    ends = ends[config.steps // 4 - 1 :]
    return (len(ends) - 1) * config.batch_size / (ends[-1] - ends[0])


def peak_flops() -> float:
    """FLOP/s of the device: from its data sheet, or on a CPU of a large float32 matrix product, the best of ten."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        return next((peak for part, peak in PEAK.items() if part in name), math.nan)
    size, seconds = 2048, []
    matrix = torch.randn(size, size)
    for _ in range(10):
        started = time.monotonic()
        matrix @ matrix
        seconds.append(time.monotonic() - started)
    return 2 * size**3 / min(seconds)


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
