"""Time to quality: how good are the images of a training after so many minutes on the same cores?

    python benchmarks/time_to_quality.py --data DATA --output_dir OUT --reference PATH/TO/train_unconditional.py

Contenders, which learn from the same images (train and unlabelled) with all cores:

- ours: train_ddpm.py with its preset. Its cool-down has the same share of the images that it will see as in the preset.
- example: diffusers' train_unconditional.py (the copy at --reference; it needs tensorboard) with its defaults and the
  flags of its own documentation, --center_crop --random_flip --use_ema.
- example_tuned: the same script as a careful user would call it: with a net of about as many parameters as ours (3.8 M,
no
  patches), a learning rate of 4e-4, the batch and precision of ours, and a cosine that ends with the minutes.

The default warm-up of both scripts, 8,000 images, would be half of such a training on a CPU; ours and example_tuned get
the same shorter one.

They take turns to train, for a few minutes at a time. Every such piece runs in its own process and ends with a
checkpoint, so that drifts of the machine affect all. Only training counts: the clock runs from the end of a piece's
first step to the end of its last, and the first counts as much as the mean of the others. The ends of the learning rate
schedules, in images, are calculated anew for every piece from the speed so far. The averaged weights are kept at the
times of the measurement; before the last time they are those of a training that is not yet finished.

All are sampled in the same way, from the same noise. Ours draws the classes, and no class, in the shares of its
training galaxies and without guidance: what the others, which know no classes, have learned too. Images are compared
with galaxies that all have learned from, which flatters all equally. Intervals say what another draw of images would
give; each contender is trained only once. To continue after an interruption, run the same command again.
"""

import hashlib
import json
import multiprocessing
import os
import platform
import shutil
import sys
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
import yaml
from accelerate import PartialState
from PIL import Image
from tqdm.auto import tqdm

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train_ddpm  # noqa: E402
from benchmarks.contenders import (  # noqa: E402
    EXAMPLE,
    NEVER,
    OURS,
    TUNED,
    Contenders,
    Piece,
    batch_size_of,
    our_settings,
    train_example,
    train_ours,
)
from benchmarks.drawn_images import kept_images  # noqa: E402
from benchmarks.quality_over_time import REAL, figures, markdown, plot  # noqa: E402
from galaxy_diffusion.sampling.schedulers import SCHEDULERS  # noqa: E402
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline  # noqa: E402
from galaxy_diffusion.shared.machine import use_all_cores  # noqa: E402
from galaxy_diffusion.shared.run_folder import same_run, write_json  # noqa: E402
from gz2_dataset import GalaxyArrays, UserError, load_arrays  # noqa: E402
from gz2_dataset.aside import write_whole  # noqa: E402
from gz2_dataset.command_line import provenance, run  # noqa: E402

ENOUGH = 0.99
"""Share of its time; a training that has seen its images sooner, because the machine became faster, continues."""
KEPT_TOGETHER = 100
"""Images in a file, which is what an interruption may cost."""
MEASUREMENT = ("num_images", "max_real", "scheduler", "num_inference_steps")
FREE = {"data", "output_dir", "reference", "contenders", "batch_size", *MEASUREMENT}
"""Settings that may differ between two calls: what is measured, and of whom, may change when the trainings are done."""


@dataclass
class Config(Contenders):
    """Settings of the comparison."""

    minutes: list[float] = field(default_factory=lambda: [5, 10, 15, 20, 30])
    """Minutes of training after which images are drawn; the last ends the training."""
    piece_minutes: float = 2.5
    """Minutes of training before it is the next one's turn."""
    contenders: list[str] = field(default_factory=lambda: [OURS, TUNED, EXAMPLE])
    """Which of ours, example_tuned and example take part, measured in this order; a later call may leave some out."""
    calibration_seconds: float = 60.0
    """Length of the trial that shows how many images a training will see."""
    num_images: int = 1000
    """Generated images per measurement."""
    max_real: int = 2000
    """At most this many galaxies are compared with."""
    scheduler: str = "heun"
    """As in generate.py. Heun's steps keep a faint sky under the example's noise schedule too, unipc's lose a tenth.
    """
    num_inference_steps: int = SCHEDULERS["heun"].steps
    """Denoising steps."""
    batch_size: int = 25
    """Images generated at a time."""


def main(config: Config) -> None:
    if not config.reference.is_file():
        raise UserError(f"{config.reference}: no such file; give a copy of diffusers' train_unconditional.py")
    if config.minutes != sorted(set(config.minutes)):
        raise UserError(f"minutes {config.minutes}: each must be later than the one before")
    if unknown := set(config.contenders) - {OURS, TUNED, EXAMPLE}:
        raise UserError(f"contenders: {unknown.pop()!r} is not one of {OURS}, {TUNED}, {EXAMPLE}")
    use_all_cores()
    settings = our_settings(config)
    splits = [load_galaxies(settings, split) for split in ("train", "unlabelled")]
    same = {
        "preset": yaml.safe_load(config.preset.read_text()),
        "center_crop": splits[0].center_crop,
        "data_fingerprint": [split.fingerprint for split in splits],
        "reference_sha256": hashlib.sha256(config.reference.read_bytes()).hexdigest(),
    }
    known = {key: value for key, value in provenance(config)["config"].items() if key not in FREE}
    same_run(config.output_dir / "settings.json", {**known, **same})
    export_images(config.output_dir / "images", *splits)
    rates, pieces = train_in_turns(config, settings, splits[0].class_names)
    hardware = {"cpu": cpu_name(), "threads": torch.get_num_threads()}
    trainings = {"calibrated_images_per_second": rates, "pieces": pieces}
    write_json(config.output_dir / "run.json", {**provenance(config), **same, **hardware, **trainings})
    measure(config, settings, pieces, np.concatenate([split.labels for split in splits]))
    print((config.output_dir / "table.md").read_text())


def load_galaxies(settings: train_ddpm.Config, split: str, jpeg: bool = False) -> GalaxyArrays:
    return load_arrays(settings.data, split, settings.resolution, jpeg)


def export_images(folder: Path, *splits: GalaxyArrays) -> None:
    """The training images as PNG files, for the example."""
    if folder.exists():
        return
    aside = folder.with_name(f".{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for i, image in enumerate(image for split in splits for image in split.images):
        Image.fromarray(image).save(aside / f"{i:06d}.png")
    aside.rename(folder)


def train_in_turns(
    config: Config, settings: train_ddpm.Config, class_names: tuple[str, ...]
) -> tuple[dict[str, float], list[dict]]:
    """Images per second in the trial, and the cost of each piece: contender, minutes (its end), steps, seconds."""
    log = config.output_dir / "pieces.jsonl"
    pieces = read_lines(log)
    length = 60 * config.minutes[-1]
    rates = calibrate(config, settings, class_names)
    share = settings.cooldown_images / settings.total_images
    cooldown = round(share * rates[OURS] * length) if OURS in rates else 0
    for minutes, name in tqdm(turns(config), desc="train", unit="piece"):
        folder = config.output_dir / name
        while not is_done(pieces, name, minutes):
            steps, seconds = taken(pieces, name, minutes)
            images = steps * batch_size_of(settings, name)
            rate = images / seconds if steps else rates.get(name, 0.0)
            piece = Piece(
                contender=name,
                folder=folder,
                seconds=60 * minutes - seconds,
                total_images=total_images(images, rate, length - seconds, settings.batch_size),
                cooldown_images=cooldown,
                snapshot=snapshot_of(config, name, minutes) if minutes in config.minutes else None,
                class_names=class_names,
            )
            forget_unrecorded(folder, steps, settings.batch_size)
            pieces.append({"contender": name, "minutes": minutes, **train_apart(config, piece)})
            append_line(log, pieces[-1])
    return rates, pieces


def calibrate(config: Config, settings: train_ddpm.Config, class_names: tuple[str, ...]) -> dict[str, float]:
    """Images per second of those whose learning rates end with the minutes, from a trial that is thrown away."""
    path = config.output_dir / "calibration.json"
    if not path.exists():
        rates = {}
        for name in (name for name in config.contenders if name != EXAMPLE):
            folder = config.output_dir / "trial" / name
            shutil.rmtree(folder, ignore_errors=True)
            piece = Piece(name, folder, config.calibration_seconds, NEVER, 0, None, class_names)
            took = train_apart(config, piece)
            rates[name] = took["steps"] * settings.batch_size / took["seconds"]
            shutil.rmtree(folder)
        write_json(path, rates)
    return json.loads(path.read_text())


def taken(pieces: list[dict], contender: str, minutes: float) -> tuple[int, float]:
    """Steps and seconds of a contender's pieces up to one that ends at ``minutes``."""
    mine = [piece for piece in pieces if piece["contender"] == contender and piece["minutes"] <= minutes]
    return sum(piece["steps"] for piece in mine), sum(piece["seconds"] for piece in mine)


def is_done(pieces: list[dict], contender: str, minutes: float) -> bool:
    """Whether a contender has had its turn and reached its time."""
    ended = any(piece["contender"] == contender and piece["minutes"] == minutes for piece in pieces)
    return ended and taken(pieces, contender, minutes)[1] >= ENOUGH * 60 * minutes


def turns(config: Config) -> list[tuple[float, str]]:
    """Minutes at which pieces end, and their contenders; each round begins with another one."""
    count = int(config.minutes[-1] / config.piece_minutes)
    ends = {round(config.piece_minutes * (i + 1), 6) for i in range(count)}
    names = config.contenders
    rounds = enumerate(sorted({*config.minutes, *ends}))
    return [(end, names[(r + i) % len(names)]) for r, end in rounds for i in range(len(names))]


def total_images(seen: int, rate: float, seconds: float, batch_size: int) -> int:
    """Images of a training that lasts this many seconds at a rate: whole batches, and two, as one has no duration."""
    return seen + batch_size * max(2, round(rate * seconds / batch_size))


def snapshot_of(config: Config, contender: str, minutes: float) -> Path:
    return config.output_dir / "snapshots" / f"{contender}-{minutes:g}"


def forget_unrecorded(folder: Path, steps: int, batch_size: int) -> None:
    """Remove checkpoints of an interrupted piece, because its time is not known."""
    for pattern, unit in (("checkpoints/images-*", batch_size), ("checkpoint-*", 1)):
        for checkpoint in folder.glob(pattern):
            if int(checkpoint.name.partition("-")[2]) > steps * unit:
                shutil.rmtree(checkpoint)


def train_apart(config: Config, piece: Piece) -> dict[str, float]:
    """Train for a piece in a separate process; returns its steps and seconds."""
    context = multiprocessing.get_context("forkserver")  # from a process that has only imported everything
    context.set_forkserver_preload(["benchmarks.time_to_quality"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=train, args=(config, piece, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise UserError(f"{piece.contender}: the training failed; see {piece.folder / 'output.log'}") from None
    finally:
        process.join()


def train(config: Config, piece: Piece, sender: Connection) -> None:
    """Train for a piece in this process and send its steps and seconds."""
    use_all_cores()
    piece.folder.mkdir(parents=True, exist_ok=True)
    with (piece.folder / "output.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    clock = (train_ours if piece.contender == OURS else train_example)(config, piece)
    sender.send({"steps": len(clock.ends), "seconds": clock.seconds})


def measure(config: Config, settings: train_ddpm.Config, pieces: list[dict], labels: np.ndarray) -> None:
    """Write results.jsonl, table.md and figure.png: the last minutes of all contenders first."""
    images = np.concatenate([load_galaxies(settings, split, jpeg=True).images for split in ("train", "unlabelled")])
    images = np.random.default_rng(config.seed).permutation(images)
    real, others = images[: config.max_real], images[config.max_real :][: config.num_images]
    same = {key: getattr(config, key) for key in MEASUREMENT}
    log = config.output_dir / "results.jsonl"
    rows = [row for row in read_lines(log) if same.items() <= row.items()]
    wanted = [(name, end) for end in reversed(config.minutes) for name in config.contenders]
    for name, minutes in tqdm([(REAL, 0.0), *wanted], desc="measure"):
        if (name, minutes) in {(row["contender"], row["minutes"]) for row in rows}:
            continue
        if name == REAL:
            generated, of_training = others, {"seconds": 0.0, "images": 0, "parameters": 0}
        else:
            steps, seconds = taken(pieces, name, minutes)
            generated, parameters = draw(config, name, minutes, labels)
            seen = steps * batch_size_of(settings, name)
            of_training = {"seconds": seconds, "images": seen, "parameters": parameters}
        row = {"contender": name, "minutes": minutes, **of_training, **same, **figures(real, generated)}
        rows.append(row)
        append_line(log, row)
        write_whole(config.output_dir / "table.md", markdown(rows))
        plot(rows, config.output_dir / "figure.png")


def draw(config: Config, contender: str, minutes: float, labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Images of a snapshot, uint8 of shape (N, H, W, 3), in the data's mix of classes, and the net's parameters."""
    pipeline = load_pipeline(str(snapshot_of(config, contender, minutes)), config.scheduler, PartialState().device)
    mix = np.resize(np.random.default_rng(config.seed).permutation(labels), config.num_images)
    table = pipeline.unet.class_embedding.weight.detach()
    seeds = range(config.seed, config.seed + config.num_images)

    def of_seeds(some: list[int]) -> np.ndarray:
        rows = table[[mix[seeds.index(seed)] for seed in some]]  # -1, no class, is the last
        options = {"guidance_scale": 1.0, "num_inference_steps": config.num_inference_steps}
        return generate_batch(pipeline, None, some, class_embeddings=rows, **options)

    folder = config.output_dir / "drawn" / f"{contender}-{minutes:g}-{config.scheduler}-{config.num_inference_steps}"
    parts = [seeds[start : start + KEPT_TOGETHER] for start in range(0, len(seeds), KEPT_TOGETHER)]
    files = [folder / f"{part.start}-{part.stop}.npz" for part in parts]
    kept = [
        kept_images(file, of_seeds, part, config.batch_size, pipeline.unet).images
        for file, part in zip(files, parts, strict=True)
    ]
    return np.concatenate(kept), sum(weight.numel() for weight in pipeline.unet.parameters())


def cpu_name() -> str:
    """The name of the processor, if the system gives it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append_line(path: Path, content: dict) -> None:
    with path.open("a") as file:
        file.write(json.dumps(content) + "\n")


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
