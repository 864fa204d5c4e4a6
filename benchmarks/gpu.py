"""What one GPU achieves in a few minutes: images per second, trained models, sheets of their images.

    python benchmarks/gpu.py --data DIR --output_dir OUT --minutes 9

The presets are trained side by side, because one alone does not fill a large GPU. Each is first run for a few steps,
which compiles its net and shows how many images fit into the time that is left. For each preset, OUT gets PRESET.tar.gz
with the pipeline in half precision and its records (at most 16 MiB for a net of 7 million parameters), its sample
grids, and PRESET.json with its size and speed; costs.md has the speed of other nets, the paper's among them. Slow
imports are made where they are used, in the processes that train, so that they run at the same time.
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

import yaml  # noqa: E402

from gz2_dataset.command_line import UserError, run  # noqa: E402

MEASURED_STEPS, LOGGED_STEPS = 96, 24
COOLDOWN = 0.4
"""Share of a training in which the learning rate falls."""
SAFETY = 0.9
"""Share of the time that is planned for, because other processes come and go."""
SECONDS_AT_THE_END = 30
"""Seconds for the last sample grid and the archives."""
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


def main(config: Config) -> None:
    end = time.time() + 60 * config.minutes
    if missing := next((name for name in config.presets if not preset_file(name).is_file()), None):
        raise UserError(f"presets: there is no {preset_file(missing)}")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(config.presets))
    processes = [context.Process(target=train, args=(config, name, end, barrier)) for name in config.presets]
    for process in processes:
        process.start()
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
    preset = train_ddpm.Config(data=config.data, output_dir=config.output_dir / "runs" / name, **said)
    trial = replace(
        preset,
        total_images=MEASURED_STEPS * preset.batch_size,
        log_images=LOGGED_STEPS * preset.batch_size,
        validation_images=0,
        sample_images=0,
        checkpoint_images=10**12,
    )
    try:
        seconds, _ = timed(replace(trial, output_dir=config.output_dir / "runs" / f"{name}-compiled"))
        say(name, f"compiled in {seconds:.0f} s")
    except BaseException:
        barrier.abort()  # or the others wait forever
        raise
    try:
        barrier.wait()  # so that the presets are measured while all run
    except threading.BrokenBarrierError:
        say(name, "another preset has failed; continuing alone")
    seconds, rate = timed(replace(trial, output_dir=config.output_dir / "runs" / f"{name}-measured"))
    left = end - time.time() - (seconds - trial.total_images / rate) - SECONDS_AT_THE_END
    total = images_in(left, rate, preset.batch_size)
    if not total:
        raise UserError(f"{name}: nothing is left of {config.minutes:g} minutes after compiling; give more --minutes")
    say(name, f"{rate:.0f} images/s; {total:,} images in the {left:.0f} s that are left")
    whole = replace(
        preset,
        total_images=total,
        cooldown_images=int(COOLDOWN * total),
        warmup_images=min(preset.warmup_images, total // 20),
        validation_images=total // 4,
        sample_images=total // 2,
        checkpoint_images=total // 8,
    )
    for attempt in range(ATTEMPTS):
        try:
            train_ddpm.main(whole)
            break
        except UserError as error:
            say(name, str(error))
            if attempt + 1 == ATTEMPTS or time.time() > end:
                raise
    say(name, "trained")
    pack(whole, config.output_dir / name, rate)


def timed(config: "train_ddpm.Config") -> tuple[float, float]:
    """Seconds of a training from start to end, and images per second of its last steps."""
    import train_ddpm

    begun = time.time()
    train_ddpm.main(config)
    return time.time() - begun, last_record(config.output_dir)["images_per_second"]


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
        "seconds": last_record(config.output_dir)["seconds"],
    }
    write_json(target.with_name(f"{target.name}.json"), measured)
    say(target.name, ", ".join(f"{key} {value}" for key, value in measured.items()))


def last_record(folder: Path) -> dict:
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])


def say(name: str, what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {name}: {what}", flush=True)


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
