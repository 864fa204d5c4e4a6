"""What one GPU achieves in a few minutes: images per second, trained models, sheets of their images.

    python benchmarks/gpu.py --data DIR --output_dir OUT --minutes 9

The presets are trained side by side, because one alone does not fill a large GPU. Each is first run for a few steps,
which compiles its net; after a quarter of the training, its speed shows how many images fit into the time that is left.
For each preset, OUT gets PRESET.tar.gz with the pipeline in half precision and its records (at most 16 MiB for a net of
7 million parameters), its sample grids, and PRESET.json with its size and speed; costs.md has the speed of other nets,
the paper's among them. Slow imports are made where they are used, in the processes that train, so that they run at the
same time.
"""

import json
import multiprocessing
import shutil
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import train_ddpm

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import yaml  # noqa: E402

from gz2_dataset.command_line import UserError, run  # noqa: E402

MEASURED_STEPS, LOGGED_STEPS = 96, 24
COOLDOWN = 0.4
"""Share of a training in which the learning rate falls."""
FIRST_PART = 0.25
"""Share of a training after which its end is planned, by the speed that it then has beside the others."""
SAFETY = 0.93
"""Share of the time that is planned for, because other processes come and go."""
SECONDS_AT_THE_END = 30
"""Seconds for the last sample grid and the archives."""
SAME_LOSS = 0.02
"""Largest relative difference of the last steps' loss between a trial with a CUDA graph and one without."""
ATTEMPTS = 3
"""How often a training whose loss is no longer a number continues from its last checkpoint."""


@dataclass
class Config:
    """Settings of the measurement."""

    data: str
    """Any data that train_ddpm.py takes."""
    output_dir: Path
    """Receives the archives."""
    minutes: float = 9.0
    """Minutes from the start of this command to its end."""
    presets: list[str] = field(default_factory=lambda: ["ddpm_64_gpu", "ddpm_224_patch_gpu"])
    """Names of presets in configs/, trained at the same time."""
    measured: list[str] = field(default_factory=lambda: ["ddpm_64_gpu", "ddpm_224_patch_gpu", "ddpm_224"])
    """Names of presets whose nets are timed, without compilation, while the others compile: the paper's too."""
    dry_run: bool = False
    """Stop after the trial: what it compiled is kept for the next call on the same machine."""


def main(config: Config) -> None:
    end = time.time() + 60 * config.minutes
    if missing := next((name for name in config.presets if not preset_file(name).is_file()), None):
        raise UserError(f"presets: there is no {preset_file(missing)}")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(config.presets))
    processes = [context.Process(target=train, args=(config, name, end, barrier)) for name in config.presets]
    for process in processes:
        process.start()
    if config.measured:
        measure_costs(config)  # in the minutes in which the others import and compile
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit(1)


def measure_costs(config: Config) -> None:
    """Images per second of each net in ``measured``, with its patches and without, into costs.md."""
    import torch

    from benchmarks import cost_table

    try:
        cost_table.main(
            cost_table.Config(
                config.output_dir / "costs.md", config.measured, batch_size=16, seconds=2.0, mixed_precision="bf16"
            )
        )
    except torch.OutOfMemoryError as error:  # what is trained meanwhile matters more
        print(f"costs.md: {error}", flush=True)


def preset_file(name: str) -> Path:
    return ROOT / "configs" / f"{name}.yaml"


def train(config: Config, name: str, end: float, barrier: Barrier) -> None:
    """Measure, then train a preset until shortly before ``end``, and pack what came out."""
    import train_ddpm

    said = yaml.safe_load(preset_file(name).read_text())
    folder = config.output_dir / "runs"
    preset = train_ddpm.Config(data=config.data, output_dir=folder / name, **said)
    trial = replace(
        preset,
        total_images=MEASURED_STEPS * preset.batch_size,
        log_images=LOGGED_STEPS * preset.batch_size,
        validation_images=0,
        sample_images=0,
        checkpoint_images=10**12,
    )
    try:
        seconds, plain = timed(replace(trial, output_dir=folder / f"{name}-compiled", cuda_graph=False))
        say(name, f"compiled in {seconds:.0f} s; {plain['images_per_second']:.0f} images/s without a graph")
    except BaseException:
        barrier.abort()  # or the others wait forever
        raise
    try:
        barrier.wait()  # so that the presets are measured while all run
    except threading.BrokenBarrierError:
        say(name, "another preset has failed; continuing alone")
    seconds, rate, preset = with_graph_or_without(preset, replace(trial, output_dir=folder / f"{name}-measured"), plain)
    if config.dry_run:
        say(name, f"{rate:.0f} images/s")
        return
    setting_up = seconds - trial.total_images / rate
    left = end - time.time() - 2 * setting_up - SECONDS_AT_THE_END
    begun = replace(
        preset,
        total_images=images_in(FIRST_PART * left, rate, preset.batch_size),
        cooldown_images=0,
        validation_images=0,
        sample_images=0,
        checkpoint_images=10**12,
    )
    if not begun.total_images:
        raise UserError(f"{name}: nothing is left of {config.minutes:g} minutes after compiling; give more --minutes")
    say(name, f"{rate:.0f} images/s; {begun.total_images:,} images at first")
    persist(name, begun, end)
    rate = float(np.median([record["images_per_second"] for record in records(begun.output_dir)]))
    left = end - time.time() - setting_up - SECONDS_AT_THE_END
    total = begun.total_images + images_in(left, rate, preset.batch_size)
    say(name, f"{rate:.0f} images/s; {total:,} images with the {left:.0f} s that are left")
    whole = replace(
        begun,
        total_images=total,
        cooldown_images=int(COOLDOWN * total),
        validation_images=total // 4,
        sample_images=total // 2,
        checkpoint_images=total // 8,
    )
    persist(name, whole, end)
    say(name, "trained")
    pack(whole, config.output_dir / name, rate)


def persist(name: str, config: "train_ddpm.Config", end: float) -> None:
    """Train, again from the last checkpoint where the loss was no longer a number."""
    import train_ddpm

    for attempt in range(ATTEMPTS):
        try:
            train_ddpm.main(config)
            break
        except UserError as error:
            say(name, str(error))
            if attempt + 1 == ATTEMPTS or time.time() > end:
                raise


def with_graph_or_without(
    preset: "train_ddpm.Config", trial: "train_ddpm.Config", plain: dict
) -> tuple[float, float, "train_ddpm.Config"]:
    """Seconds and images per second of a trial, and the preset: without its graph if that fails or learns otherwise."""
    try:
        seconds, record = timed(trial)
        if abs(record["loss"] / plain["loss"] - 1) < SAME_LOSS:
            return seconds, record["images_per_second"], preset
        said = f"loss {record['loss']:.4f} instead of {plain['loss']:.4f}"
    except (RuntimeError, UserError) as error:
        said = str(error)
    say(trial.output_dir.name, f"continuing without a graph: {said}")
    shutil.rmtree(trial.output_dir, ignore_errors=True)
    seconds, record = timed(replace(trial, cuda_graph=False))
    return seconds, record["images_per_second"], replace(preset, cuda_graph=False)


def timed(config: "train_ddpm.Config") -> tuple[float, dict]:
    """Seconds of a training from start to end, and the record of its last steps."""
    import train_ddpm

    begun = time.time()
    train_ddpm.main(config)
    return time.time() - begun, records(config.output_dir)[-1]


def images_in(seconds: float, rate: float, batch_size: int) -> int:
    """Images, in whole batches, of a training with this many seconds; 0 if there is no time."""
    return max(0, int(SAFETY * rate * seconds / batch_size)) * batch_size


def pack(config: "train_ddpm.Config", target: Path, rate: float) -> None:
    """Write the model in half precision, its sample grids, its size and its cost side by side at ``target``."""
    import torch

    from benchmarks.train_throughput import peak_flops
    from galaxy_diffusion.generators.cost import cost_of
    from galaxy_diffusion.generators.model_folder import save_in_half_precision
    from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
    from galaxy_diffusion.shared.run_folder import write_json

    pipeline = ClassConditionalDDPMPipeline.from_pretrained(config.output_dir)
    cost = cost_of(pipeline.unet, torch.zeros(1, dtype=torch.int64))
    half = config.output_dir.with_name(f"{target.name}-half")
    save_in_half_precision(config.output_dir, half)
    shutil.make_archive(str(target), "gztar", half)
    shutil.make_archive(f"{target}-samples", "gztar", config.output_dir / "samples")
    measured = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__,
        "parameters": cost.parameters,
        "flops_an_image": cost.flops,
        "images_per_second": rate,
        "share_of_peak": rate * cost.flops / peak_flops(),
        "total_images": config.total_images,
        "seconds": records(config.output_dir)[-1]["seconds"],
    }
    write_json(target.with_name(f"{target.name}.json"), measured)
    say(target.name, ", ".join(f"{key} {value}" for key, value in measured.items()))


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def say(name: str, what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {name}: {what}", flush=True)


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
