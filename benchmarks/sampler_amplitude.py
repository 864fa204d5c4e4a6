"""How much of a flat pixel noise each sampler keeps, with the best denoiser: what a sampler removes by itself.

    python benchmarks/sampler_amplitude.py --output runs/benchmarks/sampler_amplitude.md

The data are independent normal pixels of a known standard deviation, in units of what the net sees. Their best denoiser
is known, so no training is involved. Sky of 2 grey levels is 0.07 in standardised pixels and 0.018 in unscaled ones.
"""

import inspect
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import SchedulerMixin
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from galaxy_diffusion.generators.objective import make_noise_scheduler
from galaxy_diffusion.sampling.schedulers import SCHEDULERS, make_scheduler
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import run
from gz2_dataset.markdown import markdown_table


@dataclass
class Config:
    """Settings of the table."""

    output: Path
    """Markdown file."""
    steps: list[int] = field(default_factory=lambda: [9, 14, 18, 25, 50])
    """Denoising steps, in addition to those recommended for each sampler."""
    spreads: list[float] = field(default_factory=lambda: [0.02, 0.1, 1.0])
    """Standard deviations of the data."""
    beta_schedule: str = "squaredcos_cap_v2"
    """As in train_ddpm.py."""


def main(config: Config) -> None:
    trained_with = make_noise_scheduler(config.beta_schedule, 1000, "v_prediction", clip_sample=False)
    rows = []
    for name, sampler in tqdm(SCHEDULERS.items(), desc="samplers"):
        for steps in sorted({*config.steps, sampler.steps}):
            scheduler = make_scheduler(name, trained_with)
            kept = [amplitude(scheduler, steps, spread) / spread for spread in config.spreads]
            label = f"**{steps}**" if steps == sampler.steps else str(steps)
            rows.append([name, label, str(len(scheduler.timesteps)), *(f"{value:.2f}" for value in kept)])
    header = ["sampler", "steps", "calls of the net", *(f"{spread:g}" for spread in config.spreads)]
    table = markdown_table(header, rows)
    write_whole(config.output, f"{table}\n")
    print(table)


def amplitude(scheduler: SchedulerMixin, steps: int, spread: float, pixels: int = 16384) -> float:
    """Standard deviation of a sampler's images, where the data are normal pixels of a given standard deviation."""
    generator = torch.Generator().manual_seed(0)
    scheduler.set_timesteps(steps)
    options = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    log_sigma = (1 / scheduler.alphas_cumprod.double() - 1).clamp(min=1e-12).sqrt().log()
    images = torch.randn(1, pixels, generator=generator) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        noisy = scheduler.scale_model_input(images, timestep)
        velocity = best_velocity(noisy, sigma_at(float(timestep), log_sigma), spread)
        images = scheduler.step(velocity, timestep, images, **options).prev_sample
    return float(images.std())


def sigma_at(timestep: float, log_sigma: torch.Tensor) -> float:
    """Noise level between two timesteps, as diffusers' schedulers interpolate it."""
    low = min(max(math.floor(timestep), 0), len(log_sigma) - 1)
    high = min(low + 1, len(log_sigma) - 1)
    return math.exp(float(torch.lerp(log_sigma[low], log_sigma[high], timestep - low)))


def best_velocity(noisy: torch.Tensor, sigma: float, spread: float) -> torch.Tensor:
    """The velocity that the best denoiser predicts for normal data around 0 (Salimans & Ho 2022, eq. 12)."""
    alpha = 1 / (1 + sigma**2)
    residual = noisy / (alpha * spread**2 + 1 - alpha)
    noise, clean = (1 - alpha) ** 0.5 * residual, alpha**0.5 * spread**2 * residual
    return alpha**0.5 * noise - (1 - alpha) ** 0.5 * clean


if __name__ == "__main__":
    with torch.inference_mode():
        run(main, Config, __doc__.partition("\n")[0])
