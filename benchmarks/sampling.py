"""Images per second of generate.py's sampling against a plain loop over the same UNet: same noise, steps and guidance.

The two take turns, so that whatever else the machine does affects both.
"""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState

from galaxy_diffusion.sampling.ddpm_pipeline import DEFAULT_GUIDANCE
from galaxy_diffusion.sampling.schedulers import DEFAULT, SCHEDULERS
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline, seeded
from galaxy_diffusion.shared.run_folder import write_json
from gz2_dataset.command_line import provenance, run


@dataclass
class Config:
    """Settings of the measurement."""

    model: str
    """Output folder of train_ddpm.py or Hub id."""
    output: Path
    """JSON file with every timing."""
    scheduler: str = DEFAULT
    """As in generate.py."""
    num_inference_steps: int = SCHEDULERS[DEFAULT].steps
    """Denoising steps."""
    guidance_scale: float = DEFAULT_GUIDANCE
    """Weight of the class."""
    batch_size: int = 32
    """Images at a time."""
    rounds: int = 7
    """Turns of each of the two, after one that is not counted."""


def main(config: Config) -> None:
    pipeline = load_pipeline(config.model, config.scheduler, PartialState().device)
    plain_unet = copy.deepcopy(pipeline.unet).to(memory_format=torch.contiguous_format)
    labels = [i % len(pipeline.class_names) for i in range(config.batch_size)]
    seeds = list(range(config.batch_size))
    call = {"guidance_scale": config.guidance_scale, "num_inference_steps": config.num_inference_steps}
    contenders = {
        "generate.py": lambda: generate_batch(pipeline, labels, seeds, **call),
        "plain loop": lambda: plain_loop(plain_unet, pipeline.image_format, pipeline.scheduler, labels, seeds, **call),
    }
    rates = {name: [] for name in contenders}
    for turn in range(config.rounds + 1):
        for name, draw in contenders.items():
            seconds = timed(draw)
            if turn:
                rates[name].append(config.batch_size / seconds)
    ratios = [ours / plain for ours, plain in zip(*rates.values(), strict=True)]
    for name, values in rates.items():
        print(f"{name:12s} {statistics.median(values):8.2f} images/s (from {min(values):.2f} to {max(values):.2f})")
    print(
        f"ratio {statistics.median(ratios):.3f} (median of {len(ratios)}, from {min(ratios):.3f} to {max(ratios):.3f})"
    )
    write_json(config.output, {**provenance(config), "images_per_second": rates, "ratios": ratios})


def timed(draw: Callable) -> float:
    """Seconds of a call whose result is on the host, so that the device has finished."""
    started = time.perf_counter()
    draw()
    return time.perf_counter() - started


def plain_loop(
    unet, image_format, scheduler, labels: list[int], seeds: list[int], guidance_scale: float, num_inference_steps: int
) -> torch.Tensor:
    """What one writes after reading diffusers' tutorial, with guidance in one call of the UNet."""
    device, size = unet.device, unet.config.sample_size * image_format.patch_size
    null = unet.config.num_class_embeds - 1
    guided = guidance_scale != 1
    conditions = torch.tensor(labels + [null] * len(labels) * guided, device=device)
    noise = torch.cat([torch.randn(1, 3, size, size, generator=seeded(seed)) for seed in seeds]).to(device)
    scheduler.set_timesteps(num_inference_steps, device=device)
    images = noise * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        inputs = scheduler.scale_model_input(torch.cat([images] * (1 + guided)), timestep)
        prediction = image_format.predict(unet, inputs, timestep, conditions)
        if guided:
            conditional, unconditional = prediction.chunk(2)
            prediction = unconditional + guidance_scale * (conditional - unconditional)
        images = scheduler.step(prediction, timestep, images).prev_sample
    images = image_format.restore(images)
    return ((images / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()


if __name__ == "__main__":
    with torch.inference_mode():
        run(main, Config, __doc__)
