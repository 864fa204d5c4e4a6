"""Generate labelled galaxies. To continue after an interruption, run the same command again."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import parse_choice_from_env, parse_flag_from_env
from tqdm.auto import tqdm

from galaxy_diffusion.sampling.contact_sheets import contact_sheet, save_animation, save_picture, tile
from galaxy_diffusion.sampling.ddpm_pipeline import DEFAULT_GUIDANCE, ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.generated_card import FILES, write_card
from galaxy_diffusion.sampling.journeys import generate_trajectory, interpolate
from galaxy_diffusion.sampling.schedulers import DEFAULT, STOCHASTIC
from galaxy_diffusion.sampling.seeded_images import check_sampler, generate_batch, load_pipeline, weights_hash
from galaxy_diffusion.sampling.settings import FixedSampling, Sampling
from galaxy_diffusion.sampling.variations import load_originals
from galaxy_diffusion.shared.card_metadata import name_of
from galaxy_diffusion.shared.hub_target import HubConfig, check_target, push
from galaxy_diffusion.shared.image_folder import USE, file_of, save_image, write_metadata
from galaxy_diffusion.shared.machine import use_all_cores
from galaxy_diffusion.shared.run_folder import same_run, write_json
from galaxy_diffusion.shared.seen_images import copy_seen_images, digest_of_list, seen_crop
from gz2_dataset import UserError
from gz2_dataset.aside import written_aside
from gz2_dataset.command_line import parse_counts, provenance, run
from gz2_dataset.ranges import Checked, above, at_least, between

SEEDS_APART = 1_000_000
"""Between the first seeds of two classes, where each has its own."""
DIFFUSION_OPTIONS = (
    *("scheduler", "num_inference_steps", "guidance_scale", "guidance_interval", "variations_of", "strength"),
    *("trajectory", "interpolate", "num_frames"),
)


@dataclass
class Config(HubConfig, Checked):
    """Settings of a generation."""

    model: str
    """Output folder of a generator's training, Hub id, or galaxies-64, which comes with the project. The options from
    scheduler to strength, trajectory and interpolate apply to diffusion models only."""
    num_images: str
    """How many of which class, such as cigar_shaped_smooth=5163,spiral=10; a bare number is taken for every class.
    """
    output_dir: Path
    """Becomes an image folder with metadata.jsonl."""
    seed: int = field(default=0, metadata=at_least(0))
    """Image i of a class depends only on seed + i, the class, the model and the sampler; but see class_seeds."""
    class_seeds: bool = False
    """Give each class seeds of its own, a million apart. Images of one seed are near twins across the classes: good to
    see what a class changes, and bad for a training set to which several classes are added."""
    scheduler: str = DEFAULT
    """A name in galaxy_diffusion/sampling/schedulers.py, such as sde-dpmsolver++, heun or unipc. Those that add noise
    at each step, as the default and ddpm do, correct the net's errors on the way."""
    num_inference_steps: int | None = field(default=None, metadata=at_least(1))
    """Denoising steps; None takes as many as the scheduler needs to keep faint sky, such as sde-dpmsolver++ 35, unipc
    18, and heun 18 (it calls the net twice in each but the last)."""
    guidance_scale: float = field(default=DEFAULT_GUIDANCE, metadata=at_least(0))
    """1 follows the class as trained; larger values follow it more closely, at the cost of variety and twice the time.
    """
    guidance_interval: tuple[float, float] | None = field(default=None, metadata=at_least(0))
    """Guide only between these noise levels sigma, such as [0.3, 3], for more variety in less time; None guides
    everywhere."""
    variations_of: str | None = None
    """Vary real galaxies instead of starting from noise: give the --data of the model's training. The train galaxies of
    the class are taken in turn."""
    strength: float = field(default=0.6, metadata=above(0, 1))
    """For variations: the share of the denoising steps that a real galaxy goes back through, above 0 and at most 1."""
    batch_size: int = field(default=64, metadata=at_least(1))
    """Images generated at a time by each process; does not affect the images."""
    mixed_precision: Literal["no", "bf16", "fp16"] | None = None
    """Precision of the net; None leaves it to accelerate launch."""
    compile: bool = False
    """Compile the net first: worth it for thousands of images on a GPU."""
    grid: bool = False
    """Also write grid.png: the first images of each class, one row per class."""
    trajectory: bool = False
    """Also write one image per class from noise to galaxy, as trajectory.npz and .png every 100 timesteps and .webp."""
    interpolate: str | None = None
    """Also write interpolation.png and .webp between two images CLASS:SEED, such as cigar_shaped_smooth:3,edge_on:3."""
    num_frames: int = field(default=9, metadata=between(2, 10_000))
    """Images in an interpolation, including its two ends."""


def main(config: Config) -> None:
    check_target(config)
    use_all_cores()
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available())
    precision = config.mixed_precision or parse_choice_from_env("ACCELERATE_MIXED_PRECISION", "no")
    pipeline = load_pipeline(config.model, config.scheduler, state.device, precision, config.compile)
    wanted = parse_counts("num_images", config.num_images, pipeline.class_names)
    ends = parse_ends(config, pipeline.class_names) if config.interpolate else None
    if isinstance(pipeline, ClassConditionalDDPMPipeline):
        sampling = Sampling(
            config.scheduler,
            config.num_inference_steps,
            config.guidance_scale,
            config.guidance_interval,
            config.strength,
        )
        check_sampler(pipeline, sampling)
    else:
        refuse_diffusion_options(config)
        sampling = FixedSampling(pipeline.sampler)
    record = sampling.record | {"checkpoint": weights_hash(pipeline)}
    record |= {"mixed_precision": precision} if precision != "no" else {}
    originals = None
    if config.variations_of:
        record["strength"] = config.strength
        with state.main_process_first():
            classes = [name for name, count in wanted.items() if count]
            originals = load_originals(config.variations_of, config.model, classes, pipeline.image_shape[-1])
    if state.is_main_process:
        source = {"variations_of": originals.galaxies.fingerprint} if originals else {}
        source |= {"class_seeds": True} if config.class_seeds else {}
        same_run(config.output_dir / "settings.json", {**record, "seed": config.seed, **source})

    first = {name: config.seed + config.class_seeds * SEEDS_APART * pipeline.label_of(name) for name in wanted}
    images = [(name, first[name] + i) for name, count in wanted.items() for i in range(count)]
    missing = [image for image in images if not file_of(config.output_dir, *image).exists()]
    state.wait_for_everyone()  # before the first is written, so that all processes divide the same images
    step = config.batch_size * state.num_processes
    bar = tqdm(total=len(missing), desc="generate", unit="image", disable=not state.is_main_process)
    for start in range(0, len(missing), step):
        batch = missing[start : start + step][state.process_index :: state.num_processes]
        if not batch:  # the last few images are fewer than the processes
            break
        labels, seeds = [pipeline.label_of(name) for name, _ in batch], [seed for _, seed in batch]
        real = {"image": originals.images(batch)} if originals else {}
        pixels = generate_batch(pipeline, labels, seeds, **sampling.kwargs, **real)
        for image, its_pixels in zip(batch, pixels, strict=True):
            save_image(file_of(config.output_dir, *image), its_pixels)
        bar.update(min(step, len(missing) - start))
    bar.close()
    state.wait_for_everyone()
    if not state.is_main_process:
        return

    copy_seen_images(config.model, config.output_dir)

    def describe(class_name: str, seed: int) -> dict:
        return record | ({"source_image_id": originals.image_id(class_name, seed)} if originals else {})

    write_metadata(config.output_dir, describe)
    if config.grid:
        save_picture(config.output_dir / "grid.png", contact_sheet(config.output_dir, pipeline.class_names))
    if config.trajectory:
        frames, timesteps = generate_trajectory(pipeline, config.seed, every=20, **sampling.kwargs)
        with written_aside(config.output_dir / "trajectory.npz") as aside:
            np.savez_compressed(aside, frames=frames[:, ::5], timesteps=timesteps[::5])
        save_picture(config.output_dir / "trajectory.png", tile(frames[:, ::5]))
        save_animation(config.output_dir / "trajectory.webp", frames)
    if ends:
        frames = interpolate(pipeline, ends, config.num_frames, **sampling.kwargs)
        save_picture(config.output_dir / "interpolation.png", tile(frames[None]))
        save_animation(config.output_dir / "interpolation.webp", frames[None])
    about = {"checkpoint": record["checkpoint"], "center_crop": seen_crop(config.model), "use": USE}
    run_record = {**provenance(config), **about}
    run_record |= digest_of_list(config.output_dir)
    write_card(config.output_dir, name_of(config.model), config.hub_model_id)
    write_json(config.output_dir / "run.json", run_record)
    print(f"images: {config.output_dir}")
    push(config, config.output_dir, FILES, "dataset")


def refuse_diffusion_options(config: Config) -> None:
    """Refuse options that only a diffusion model has."""
    defaults = Config(config.model, config.num_images, config.output_dir)
    for name in DIFFUSION_OPTIONS:
        if getattr(config, name) != getattr(defaults, name):
            raise UserError(f"{name}: {config.model} is not a diffusion model; leave --{name} out")


def parse_ends(config: Config, class_names: list[str]) -> list[tuple[str, int]]:
    """``"spiral:3,edge_on:4"`` as two pairs of class and seed."""
    ends = [tuple(end.strip().split(":")) for end in config.interpolate.split(",")]
    if len(ends) != 2 or any(len(end) != 2 or end[0] not in class_names or not end[1].isdecimal() for end in ends):
        raise UserError(
            f"interpolate {config.interpolate!r}: not two of CLASS:SEED; write for instance {class_names[0]}:3,"
            f"{class_names[-1]}:3; the classes are {', '.join(class_names)}"
        )
    if config.scheduler in STOCHASTIC and ends[0][1] != ends[1][1]:
        raise UserError(
            f"interpolate {config.interpolate!r}: {config.scheduler} adds noise that hides the seeds; give equal seeds "
            "or another scheduler"
        )
    return [(name, int(seed)) for name, seed in ends]


if __name__ == "__main__":
    with torch.inference_mode():
        run(main, Config, __doc__)
