"""Which setting of the sampler is good enough in the fewest calls of the UNet, by measures that see faint sky.

    python benchmarks/sampling_quality.py --model DIR --data DATA --output_dir OUT --schedulers "[heun,unipc]" \
        --steps "[10,0]" --guidance_scales "[1,2]" --guidance_intervals "[null,[0.3,3]]" --reference false

KID in Inception's features sees small images enlarged to 299 pixels and hardly any noise of the sky. So the sky's
amplitude and the high-frequency power are also measured for each class, beside real galaxies and what other real
galaxies get.

Rule: a setting is acceptable if there is no class in which its whole interval of the sky amplitude, generated over
real, lies outside 0.9 to 1.1, and if its KID, averaged over the classes, is not above the upper end of the reference's
95 % interval. The choice is the acceptable setting with the fewest calls. With few images the intervals are wide, and
more settings pass.

Every setting is compared with the same galaxies. Against those of the train split a model looks better than it is, but
this is the same for every setting. To continue after an interruption, run the same command again.
"""

import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import PartialState
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.class_figures import Measured, beside_real, floor, measure
from benchmarks.drawn_images import drawn_images
from benchmarks.sampler_choice import Row, Setting, markdown, plot, row_of
from galaxy_diffusion.evaluation.floors import MIN_IMAGES, MIN_UNSEEN, Sets
from galaxy_diffusion.sampling.ddpm_pipeline import DEFAULT_GUIDANCE, ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.schedulers import SCHEDULERS
from galaxy_diffusion.sampling.seeded_images import check_sampler, load_pipeline, weights_hash
from galaxy_diffusion.sampling.settings import Sampling
from galaxy_diffusion.shared.run_folder import same_run, write_json
from galaxy_diffusion.shared.seen_images import refuse_if_seen, refuse_other_crop
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from gz2_dataset.arrays import concatenate
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import provenance, run


@dataclass
class Config:
    """Settings of the measurement."""

    model: str
    """Output folder of train_ddpm.py or Hub id."""
    data: str
    """The data that it was trained with."""
    output_dir: Path
    """Receives results.jsonl (one line per setting), table.md, figure.png and the images."""
    schedulers: list[str] = field(default_factory=lambda: list(SCHEDULERS))
    """As in generate.py."""
    steps: list[int | None] = field(default_factory=lambda: [None])
    """Denoising steps of each scheduler; null or 0 means as many as it needs to keep faint sky."""
    guidance_scales: list[float] = field(default_factory=lambda: [DEFAULT_GUIDANCE])
    """Weights of the class."""
    guidance_intervals: list[tuple[float, float] | None] = field(default_factory=lambda: [None])
    """Noise levels between which to guide; null is always."""
    reference: bool = True
    """Measure ddpm with 1000 steps, first guidance scale and interval, and compare with it; else with the first setting
    of the lists."""
    split: Literal["validation", "train"] = "validation"
    """Real galaxies to compare with; those of the other split serve for the floor. In a class that has fewer than 20
    in the first split and more in the other, the two change places."""
    num_images: int = 200
    """Generated images of each class, the same seeds for every setting."""
    max_real: int = 1000
    """At most this many galaxies of each class are compared with."""
    measure_at: int | None = None
    """Side in pixels to which real and generated images are resized (Lanczos) before they are measured, so that models
    of different resolution can be compared; None is that of the model."""
    batch_size: int = 50
    """Images at a time."""
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """Precision of the net."""
    compile: bool = False
    """Compile the UNet."""
    seed: int = 0
    """Seed of the first image."""


def main(config: Config) -> None:
    wanted = settings_of(config)
    pipelines = load_pipelines(config, wanted)
    pipeline = pipelines[wanted[0].scheduler]
    side = pipeline.image_shape[-1]
    if (config.measure_at or side) > side:
        raise UserError(f"measure_at {config.measure_at}: is above the {side} pixels of {config.model}")
    load = partial(load_arrays, config.data, resolution=side, jpeg=True)
    splits = {name: load(split=name) for name in ("validation", "train")}
    if config.split == "validation":
        refuse_if_seen(config.model, {"validation": splits["validation"]})
    keys = ("split", "num_images", "max_real", "measure_at", "mixed_precision", "seed")
    same = {key: getattr(config, key) for key in keys} | {"checkpoint": weights_hash(pipeline)}
    refuse_other_crop(config.model, splits["train"].center_crop)
    same |= {"center_crop": splits["train"].center_crop}
    same |= {"data_fingerprint": {name: galaxies.fingerprint for name, galaxies in splits.items()}}
    same_run(config.output_dir / "settings.json", same)

    other = {"validation": "train", "train": "validation"}[config.split]
    real, sets = {}, {}
    for name in pipeline.class_names:
        images, chosen = choose_real(splits[config.split], splits[other], name, config)
        if len(chosen.reference) < MIN_IMAGES:
            print(f"{name}: fewer than {MIN_IMAGES} real galaxies, so it is left out")
        else:
            real[name], sets[name] = measure(images, config.measure_at or side), chosen
    if not real:
        raise UserError(f"{config.data}: no class has {MIN_IMAGES} galaxies in the {config.split} or {other} split")

    results = config.output_dir / "results.jsonl"
    lines = results.read_text().splitlines() if results.exists() else []
    rows = {row.setting: row for row in map(row_of, map(json.loads, lines))}
    for setting in tqdm([setting for setting in wanted if setting not in rows], desc="settings"):
        rows[setting] = measure_setting(config, setting, pipelines[setting.scheduler], real, sets)
        write_whole(results, "".join(json.dumps(asdict(row)) + "\n" for row in rows.values()))
    floors = {name: floor(real[name], sets[name]) for name in real if min(sets[name].sizes) >= MIN_IMAGES}
    table = markdown(list(rows.values()), rows[wanted[0]], floors)
    write_whole(config.output_dir / "table.md", table)
    plot(list(rows.values()), rows[wanted[0]], config.output_dir / "figure.png")
    write_json(config.output_dir / "run.json", provenance(config))
    print(table)


def settings_of(config: Config) -> list[Setting]:
    """The settings to measure, the reference first."""
    lists = config.schedulers, config.steps, config.guidance_scales, config.guidance_intervals
    combined = list(itertools.product(*lists))
    if config.reference:
        combined.insert(0, ("ddpm", None, config.guidance_scales[0], config.guidance_intervals[0]))
    for scheduler, *_ in combined:
        if scheduler not in SCHEDULERS:
            raise UserError(f"no scheduler {scheduler!r}; choose from {', '.join(SCHEDULERS)}")
    found = [
        Setting(name, steps or SCHEDULERS[name].steps, scale, tuple(interval) if interval and scale != 1 else None)
        for name, steps, scale, interval in combined
    ]
    return list(dict.fromkeys(found))


def load_pipelines(config: Config, settings: Sequence[Setting]) -> dict[str, ClassConditionalDDPMPipeline]:
    """A pipeline with each scheduler, all with one UNet, after a check that they can sample like this."""
    pipelines = {}
    for setting in settings:
        if (name := setting.scheduler) not in pipelines:
            options = PartialState().device, config.mixed_precision, config.compile
            pipelines[name] = load_pipeline(config.model, name, *options)
            pipelines[name].unet = next(iter(pipelines.values())).unet
        check_sampler(pipelines[name], Sampling(name, setting.steps, setting.guidance_scale, setting.guidance_interval))
    return pipelines


def choose_real(first: GalaxyArrays, second: GalaxyArrays, name: str, config: Config) -> tuple[np.ndarray, Sets]:
    """Galaxies of a class from two splits: the images, which of them to compare with, and which are for the floor."""
    rng = np.random.default_rng(config.seed)
    most = max(config.max_real, config.num_images)
    rows = [rng.permutation(s.of_class(name))[:most] for s in (first, second)]
    images = concatenate([first.take(rows[0]), second.take(rows[1])]).images
    reference, others = np.split(np.arange(len(images)), [len(rows[0])])
    if len(reference) < min(MIN_UNSEEN, len(others)):
        reference, others = others, reference
    reference, others = reference[: config.max_real], others[: config.num_images]
    numbers = np.split(np.arange(len(reference) + len(others)), [len(reference)])
    return images[np.concatenate([reference, others])], Sets(*numbers, np.arange(config.num_images))


def measure_setting(
    config: Config,
    setting: Setting,
    pipeline: ClassConditionalDDPMPipeline,
    real: dict[str, Measured],
    sets: dict[str, Sets],
) -> Row:
    """Draw the images of each class and compare them with the real ones."""
    interval = {"guidance_interval": setting.guidance_interval} if setting.guidance_interval else {}
    side = config.measure_at or pipeline.image_shape[-1]
    drawn, classes = [], {}
    for name in real:
        path = config.output_dir / "images" / f"{setting.name}-{name}.npz"
        start = config.seed + pipeline.label_of(name) * config.num_images  # no noise is used for two classes
        seeds = range(start, start + config.num_images)
        call = (setting.guidance_scale, setting.steps, config.batch_size)
        drawn.append(drawn_images(path, pipeline, name, seeds, *call, **interval))
        classes[name] = beside_real(measure(drawn[-1].images, side), real[name], sets[name])
    return Row(setting, drawn[0].unet_calls, float(np.mean([d.seconds for d in drawn])), classes)


if __name__ == "__main__":
    with torch.inference_mode():
        run(main, Config, __doc__)
