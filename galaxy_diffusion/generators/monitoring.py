"""What is watched while a model trains: loss on galaxies that it does not learn from, sample grids, memory."""

import copy
import math
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel

from galaxy_diffusion.generators.batches import Batch
from galaxy_diffusion.generators.conditioning import Conditioning
from galaxy_diffusion.generators.fine_tuning import merge_lora
from galaxy_diffusion.generators.objective import Objective
from galaxy_diffusion.sampling.contact_sheets import save_picture, tile
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.schedulers import DEFAULT, make_scheduler
from galaxy_diffusion.sampling.seeded_images import GeneratorPipeline, generate_batch
from galaxy_diffusion.sampling.settings import Sampling
from galaxy_diffusion.shared.checkpoint import checkpoints, last_of
from galaxy_diffusion.shared.machine import peak_memory
from gz2_dataset import GalaxyArrays, UserError

Net = TypeVar("Net", bound=torch.nn.Module)


def due(every: int, before: int, now: int, end: int) -> bool:
    """Whether the step from ``before`` to ``now`` images has passed a multiple of ``every`` or the end; 0 is never."""
    return every > 0 and (now >= end or before // every != now // every)


def averaged(net: Net, ema: EMAModel) -> Net:
    """A copy of ``net`` with the averaged weights, LoRA merged into them, on their device."""
    net = copy.deepcopy(net).to(ema.shadow_params[0].device)
    ema.copy_to(net.parameters())
    return merge_lora(net).eval()


class Interval:
    """Mean loss and speed since the last record.

    Parameters
    ----------
    accelerator : Accelerator
    images_seen : int
    seconds : float
        Seconds that the training has taken so far.
    folder : Path
        Of the run's checkpoints.
    """

    def __init__(self, accelerator: Accelerator, images_seen: int, seconds: float, folder: Path):
        self.accelerator, self.images_seen, self.seconds = accelerator, images_seen, seconds
        self.folder = folder
        self.begin()

    def begin(self) -> None:
        """Forget what has been added; the time since the last record does not count as training."""
        self.sums: dict[str, torch.Tensor] = {}
        self.steps: Counter[str] = Counter()
        self.clock = time.monotonic()

    def add(self, loss: torch.Tensor, **others: torch.Tensor) -> None:
        """Add a step's loss and other figures of the step, without waiting for a GPU.

        Raises
        ------
        UserError
            If the loss is on a CPU and not a number; on a GPU `record` finds it.
        """
        if loss.device.type == "cpu" and not loss.isfinite():
            raise self.not_a_number(self.images_seen)
        for name, value in {"loss": loss, **others}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach()
            self.steps[name] += 1

    def record(self, images_seen: int) -> dict[str, float]:
        """Images seen, mean loss over all processes, images per second, peak memory in GB, seconds of training.

        Raises
        ------
        UserError
            If the loss, or another figure that was added, is not a number.
        """
        means = {
            name: float(self.accelerator.reduce(total, "mean")) / self.steps[name] for name, total in self.sums.items()
        }
        if not all(map(math.isfinite, means.values())):
            raise self.not_a_number(images_seen)
        seconds = time.monotonic() - self.clock
        speed = (images_seen - self.images_seen) / seconds
        self.images_seen, self.seconds = images_seen, self.seconds + seconds
        return {
            "images_seen": images_seen,
            **means,
            "images_per_second": speed,
            "memory_gb": peak_memory(self.accelerator.device) / 1e9,
            "seconds": self.seconds,
        }

    def not_a_number(self, images_seen: int) -> UserError:
        """What to say of a loss that is none."""
        remedy = "lower learning_rate or use mixed_precision bf16"
        last = last_of(checkpoints(self.folder))
        return UserError(f"the loss is not a number after {images_seen} images; {remedy}; {last}")


class ValidationLoss:
    """Loss of each class on galaxies that are not learned from, with noise and timesteps that never change.

    Parameters
    ----------
    galaxies : GalaxyArrays
        The validation split.
    objective : Objective
        Used without its input perturbation.
    conditioning : Conditioning
    seed : int
    per_class : int
        At most this many galaxies per class.
    levels : int
        Timesteps per galaxy: the schedule is divided into this many equal parts, and one is taken from each.

    Raises
    ------
    UserError
        If there are no galaxies.
    """

    def __init__(
        self,
        galaxies: GalaxyArrays,
        objective: Objective,
        conditioning: Conditioning,
        seed: int,
        per_class: int = 32,
        levels: int = 4,
    ):
        if not len(galaxies):
            raise UserError("the data has no validation split; leave --validation_images at 0")
        rows = [galaxies.of_class(name)[:per_class] for name in galaxies.class_names]
        chosen = np.concatenate(rows).repeat(levels)
        rng = np.random.default_rng([seed, 2])
        positions = (np.arange(len(chosen)) % levels + rng.random(len(chosen))) / levels
        labels = conditioning.labels(galaxies.labels, galaxies.votes)
        self.batch = Batch(
            torch.from_numpy(galaxies.images[chosen]),
            torch.from_numpy(labels[chosen]),
            torch.zeros(len(chosen), dtype=torch.int64),
            torch.from_numpy((positions * objective.scheduler.config.num_train_timesteps).astype(np.int64)),
            torch.from_numpy(rng.integers(2**62, size=len(chosen))),
        )
        self.classes = torch.from_numpy(galaxies.labels[chosen])
        self.class_names = galaxies.class_names
        self.objective = replace(objective, input_perturbation=0.0)

    @torch.no_grad()
    def __call__(self, accelerator: Accelerator, unet: UNet2DModel, size: int) -> dict[str, float]:
        """The losses, ``size`` images at a time, shared among the processes, all of which call this.

        Returns
        -------
        dict
            ``validation_loss/CLASS``, and ``validation_loss``: their mean.
        """
        sums = torch.zeros(2, len(self.class_names), device=accelerator.device)
        parts = zip(self.batch.parts(size), self.classes.split(size), strict=True)
        for i, (part, classes) in enumerate(parts):
            if i % accelerator.num_processes == accelerator.process_index:
                with accelerator.autocast():
                    losses = self.objective.losses(unet, part, accelerator.device)
                sums.index_add_(1, classes.to(sums.device), torch.stack([losses, torch.ones_like(losses)]))
        total, count = accelerator.reduce(sums, "sum").cpu()
        means = {name: float(total[c] / count[c]) for c, name in enumerate(self.class_names) if count[c]}
        losses = {f"validation_loss/{name}": mean for name, mean in means.items()}
        return {"validation_loss": float(np.mean(list(means.values()))), **losses}


def save_grid(pipeline: GeneratorPipeline, path: Path, seed: int, columns: int = 8) -> None:
    """Draw one row of images per class, all from the same noise."""
    options = {}
    if isinstance(pipeline, ClassConditionalDDPMPipeline):
        sampler, image_format = make_scheduler(DEFAULT, pipeline.scheduler), asdict(pipeline.image_format)
        pipeline = ClassConditionalDDPMPipeline(pipeline.unet, sampler, pipeline.config.id2label, **image_format)
        pipeline.set_progress_bar_config(disable=True)
        options = Sampling().kwargs
    seeds = [seed + i for i in range(columns)]
    rows = [generate_batch(pipeline, [c] * columns, seeds, **options) for c in range(len(pipeline.class_names))]
    save_picture(path, tile(np.stack(rows)))
