"""Error of trained generators at each noise level, on galaxies that they have not seen: where a training falls short.

    python benchmarks/loss_by_noise.py --models "[A,B]" --data DIR --output OUT.md

Low levels decide the sky, levels from 2 up the shapes. The error is that of the velocity of Salimans & Ho 2022 in what
the net sees, whatever it predicts, so that models with different schedules can be compared if they see images in the
same format.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from galaxy_diffusion.generators.batches import to_model_range
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.shared.noise import noise_like
from galaxy_diffusion.shared.seen_images import refuse_if_seen, refuse_other_crop
from gz2_dataset import load_arrays
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import run
from gz2_dataset.markdown import as_text, markdown_table


@dataclass
class Config:
    """Settings of the measurement."""

    models: list[str]
    """Output folders of train_ddpm.py."""
    data: str
    """The data that they were trained with; its validation galaxies are used."""
    output: Path
    """Markdown file."""
    sigmas: list[float] = field(default_factory=lambda: [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40])
    """Noise levels, sqrt(1 / alpha_bar - 1)."""
    per_class: int = 20
    """At most this many galaxies of each class."""


def main(config: Config) -> None:
    lines = []
    for model in tqdm(config.models, desc="models"):
        pipeline = ClassConditionalDDPMPipeline.from_pretrained(model, use_safetensors=True)
        galaxies = load_arrays(config.data, "validation", pipeline.image_shape[-1])
        refuse_if_seen(model, {"validation": galaxies})
        refuse_other_crop(model, galaxies.center_crop)
        rows = [galaxies.of_class(name)[: config.per_class] for name in galaxies.class_names]
        rows = np.concatenate(rows)
        images = to_model_range(torch.from_numpy(galaxies.images[rows]), torch.device("cpu"))
        labels = torch.from_numpy(galaxies.labels[rows])
        errors = [velocity_error(pipeline, images, labels, sigma) for sigma in config.sigmas]
        lines.append([as_text(Path(model).name), str(len(rows)), *(f"{error:.4f}" for error in errors)])
    table = markdown_table(["model", "galaxies", *(f"{sigma:g}" for sigma in config.sigmas)], lines)
    write_whole(config.output, f"{table}\n")
    print(table)


def velocity_error(
    pipeline: ClassConditionalDDPMPipeline, images: torch.Tensor, labels: torch.Tensor, sigma: float
) -> float:
    """Mean squared error of the velocity at the timestep whose noise level is nearest to ``sigma``."""
    scheduler, image_format = pipeline.scheduler, pipeline.image_format
    levels = (1 / scheduler.alphas_cumprod - 1).sqrt()
    timestep = int((levels.log() - np.log(sigma)).abs().argmin())
    timesteps = torch.full((len(images),), timestep)
    clean = image_format.standardize(images)
    noise = noise_like(clean, torch.arange(len(clean)))
    noisy = scheduler.add_noise(clean, noise, timesteps)
    prediction = image_format.predict(pipeline.unet, noisy, timesteps, labels)
    alpha = scheduler.alphas_cumprod[timestep]
    kind = scheduler.config.prediction_type
    if kind == "v_prediction":
        velocity = prediction
    elif kind == "epsilon":
        velocity = (prediction - (1 - alpha).sqrt() * noisy) / alpha.sqrt()
    else:
        velocity = (alpha.sqrt() * noisy - prediction) / (1 - alpha).sqrt()
    return float((velocity - scheduler.get_velocity(clean, noise, timesteps)).square().mean())


if __name__ == "__main__":
    with torch.inference_mode():
        run(main, Config, __doc__.partition("\n")[0])
