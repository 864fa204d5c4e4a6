"""The contenders of time_to_quality.py, train_ddpm.py and diffusers' example, trained one piece at a time."""

import contextlib
import importlib.util
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import torch
import yaml
from accelerate.utils import set_seed
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel

import train_ddpm
from galaxy_diffusion.generators.training_run import TrainingRun
from galaxy_diffusion.generators.unet import make_unet
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from gz2_dataset import UserError

ROOT = Path(__file__).parent.parent
OURS, TUNED, EXAMPLE = "ours", "example_tuned", "example"
NEVER = 10**9


@dataclass
class Contenders:
    """Settings of the trainings."""

    data: str
    """Any data that train_ddpm.py takes."""
    output_dir: Path
    """Receives results.jsonl (one line per measurement), table.md, figure.png and run.json; meanwhile it holds the
    trainings, snapshots and images, 10 GB with the example's default net."""
    reference: Path
    """A copy of diffusers' train_unconditional.py."""
    preset: Path = ROOT / "configs/ddpm_64.yaml"
    """Of ours."""
    warmup_images: int = 1600
    """Images over which the learning rates of ours and example_tuned rise."""
    mixed_precision: str = "bf16"
    """Of ours and example_tuned: no, bf16 or fp16."""
    tuned_channels: list[int] = field(default_factory=lambda: [32, 64, 96, 128])
    """Channels of the levels of example_tuned; the last level has attention, the rest is as in the preset."""
    tuned_learning_rate: float = 4e-4
    """Of example_tuned."""
    example_channels: list[int] | None = None
    """The same for example, for a trial run; None is its default net of 113.7 M parameters."""
    seed: int = 0
    """Of trainings and first image."""


@dataclass(frozen=True)
class Piece:
    """A stretch of one contender's training.

    Attributes
    ----------
    contender : str
    folder : Path
        Of the training.
    seconds : float
        How long it is to last.
    total_images : int
        Images that the whole training will see at the speed so far.
    cooldown_images : int
        Of ours.
    snapshot : Path | None
        Where the averaged weights are to be kept as a pipeline.
    class_names : tuple[str, ...]
    """

    contender: str
    folder: Path
    seconds: float
    total_images: int
    cooldown_images: int
    snapshot: Path | None
    class_names: tuple[str, ...]


class TimeUp(Exception):
    """Ends a piece once it has its checkpoint."""


class Clock:
    """The time that training steps take, from the times at which they end."""

    def __init__(self, seconds: float):
        self.limit, self.ends = seconds, []
        self.average: EMAModel | None = None

    @property
    def seconds(self) -> float:
        """Seconds of all steps; the first, which starts cold, counts as much as the mean of the others."""
        n = len(self.ends)
        return (self.ends[-1] - self.ends[0]) * n / (n - 1) if n > 1 else 0.0

    @property
    def is_over(self) -> bool:
        return len(self.ends) > 1 and self.seconds >= self.limit


def our_settings(config: Contenders) -> train_ddpm.Config:
    """The preset with what the comparison changes."""
    changed = {
        "warmup_images": config.warmup_images,
        "mixed_precision": config.mixed_precision,
        "seed": config.seed,
        "validation_images": 0,
        "sample_images": NEVER,
        "checkpoint_images": NEVER,
    }
    preset = yaml.safe_load(config.preset.read_text())
    return train_ddpm.Config(config.data, config.output_dir / OURS, **{**preset, **changed})


def batch_size_of(settings: train_ddpm.Config, contender: str) -> int:
    return 16 if contender == EXAMPLE else settings.batch_size


def train_ours(config: Contenders, piece: Piece) -> Clock:
    """A piece of train_ddpm.py; the last one may finish before the time is up."""
    lengths = {"total_images": piece.total_images, "cooldown_images": piece.cooldown_images}
    settings = replace(our_settings(config), output_dir=piece.folder, **lengths)

    count, ending = TrainingRun.count, []

    def count_or_end(training: TrainingRun, *events: str) -> set[str]:
        due = count(training, *events)
        return due | {"sample", "checkpoint"} if ending else due

    def keep(_: TrainingRun, pipeline: ClassConditionalDDPMPipeline) -> None:
        if piece.snapshot:
            pipeline.save_pretrained(piece.snapshot)

    with (
        mock.patch.object(TrainingRun, "save_grid", keep),
        mock.patch.object(TrainingRun, "count", count_or_end),
        timed(piece.seconds, lambda: ending.append(True)) as clock,
    ):
        train_ddpm.main(settings)
    return clock


def train_example(config: Contenders, piece: Piece) -> Clock:
    """A piece of diffusers' example, run as it is."""
    specification = importlib.util.spec_from_file_location("train_unconditional", config.reference)
    example = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(example)
    with mock.patch.object(sys, "argv", ["train_unconditional.py", *example_options(config, piece)]):
        arguments = example.parse_args()
    if piece.contender == TUNED:
        steps = piece.total_images // our_settings(config).batch_size
        get_scheduler = example.get_scheduler
        example.get_scheduler = lambda *args, **options: get_scheduler(*args, **options | {"num_training_steps": steps})

    def save() -> None:
        arguments.checkpointing_steps = 1

    set_seed(config.seed)
    with timed(piece.seconds, save) as clock:
        example.main(arguments)
    if not clock.is_over:
        raise UserError(f"{piece.contender}: came to the end of its epochs before its time; give fewer minutes")
    if piece.snapshot:
        keep_example(clock.average, piece)
    return clock


def example_options(config: Contenders, piece: Piece) -> list[str]:
    """The command line of the example."""
    settings = our_settings(config)
    options = {
        "train_data_dir": config.output_dir / "images",
        "output_dir": piece.folder,
        "resolution": settings.resolution,
        "checkpointing_steps": NEVER,
        "checkpoints_total_limit": 2,
        "resume_from_checkpoint": "latest",
        "save_images_epochs": NEVER,
        "save_model_epochs": NEVER,
        "eval_batch_size": 1,  # it draws after its first epoch in any case
        "ddpm_num_inference_steps": 1,
    }
    channels = config.example_channels
    if piece.contender == TUNED:
        channels = config.tuned_channels
        options |= {
            "train_batch_size": settings.batch_size,
            "learning_rate": config.tuned_learning_rate,
            "lr_warmup_steps": config.warmup_images // settings.batch_size,
            "mixed_precision": config.mixed_precision,
            "num_epochs": NEVER,
        }
    if channels:
        net = {"patch_size": 1, "block_out_channels": channels, "attention_levels": [len(channels) - 1]}
        unet = make_unet(replace(settings, **net), settings.resolution, 1)
        UNet2DModel.from_config({**unet.config, "num_class_embeds": None}).save_config(piece.folder / "net")
        options["model_config_name_or_path"] = piece.folder / "net"
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [*words, "--center_crop", "--random_flip", "--use_ema"]


def keep_example(average: EMAModel, piece: Piece) -> None:
    """The averaged net as one of our pipelines: it only needs a class table of zeros."""
    learned = UNet2DModel.from_config(average.model_config)
    average.copy_to(learned.parameters())
    net = {key: value for key, value in average.model_config.items() if not key.startswith("_")}
    unet = UNet2DModel.from_config({**net, "num_class_embeds": len(piece.class_names) + 1})
    zeros = torch.zeros_like(unet.class_embedding.weight)
    unet.load_state_dict({**learned.state_dict(), "class_embedding.weight": zeros})
    pipeline = ClassConditionalDDPMPipeline(unet, DDPMScheduler(), dict(enumerate(piece.class_names)))
    pipeline.save_pretrained(piece.snapshot)


@contextlib.contextmanager
def timed(seconds: float, save: Callable[[], None]) -> Iterator[Clock]:
    """Time the training steps inside; each ends when the weights' average has been updated.

    In the step that completes the time, ``save`` asks the script for a checkpoint; the next step ends it.
    """
    step, clock, parent = EMAModel.step, Clock(seconds), multiprocessing.parent_process()

    def timed_step(average: EMAModel, parameters: Iterable[torch.nn.Parameter]) -> None:
        if parent and not parent.is_alive():
            sys.exit("the command that started this piece has ended")
        if clock.is_over:
            raise TimeUp
        step(average, parameters)
        clock.average = average
        clock.ends.append(time.monotonic())
        if clock.is_over:
            save()

    with mock.patch.object(EMAModel, "step", timed_step), contextlib.suppress(TimeUp):
        yield clock
