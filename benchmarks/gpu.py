"""What one GPU makes of a few minutes: images a second, trained models, sheets of what they draw.

    python benchmarks/gpu.py --data DIR --output_dir OUT --minutes 9

The presets are trained side by side, as one of them alone does not fill a large GPU. Each is first run for a few steps,
which compiles its net and tells how many images fit into the time that is left. OUT gets for each preset PRESET.tar.gz
with the pipeline in half precision and its records (at most 16 MiB for a net of 7 million parameters), its sample grids
and a JSON file with its speed.
"""

import json
import multiprocessing
import shutil
import sys
import time
from dataclasses import dataclass, field, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import yaml

from gz2_dataset.command_line import UserError, run

MEASURED_STEPS, LOGGED_STEPS = 96, 24
COOLDOWN = 0.4
"""Share of a training in which the learning rate falls."""
SAFETY = 0.9
"""Share of the time that is planned for, as other processes come and go."""


@dataclass
class Config:
    """Settings of the measurement."""

    data: str
    """Any data that train_ddpm.py takes."""
    output_dir: Path
    """Gets the archives."""
    minutes: float = 9.0
    """From the start of this command to its end."""
    presets: list[str] = field(default_factory=lambda: ["ddpm_64_gpu", "ddpm_224_gpu"])
    """Names of presets in configs/, trained at the same time."""


def main(config: Config) -> None:
    end = time.time() + 60 * config.minutes
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(config.presets))
    processes = [context.Process(target=train, args=(config, name, end, barrier)) for name in config.presets]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit(1)


def train(config: Config, name: str, end: float, barrier: Barrier) -> None:
    """Measure, then train a preset until shortly before ``end``, and pack what came out."""
    import torch

    import train_ddpm
    from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
    from galaxy_diffusion.shared.run_folder import write_json

    said = yaml.safe_load(Path(f"configs/{name}.yaml").read_text())
    preset = train_ddpm.Config(data=config.data, output_dir=config.output_dir / "runs" / name, **said)
    batch = preset.batch_size
    short = replace(
        preset,
        total_images=MEASURED_STEPS * batch,
        log_images=LOGGED_STEPS * batch,
        validation_images=0,
        sample_images=0,
        checkpoint_images=10**12,
    )
    begun = time.time()
    train_ddpm.main(replace(short, output_dir=config.output_dir / "runs" / f"{name}-compiled"))
    say(name, f"compiled in {time.time() - begun:.0f} s")
    barrier.wait()
    begun, measured = time.time(), replace(short, output_dir=config.output_dir / "runs" / f"{name}-measured")
    train_ddpm.main(measured)
    took, lines = time.time() - begun, metrics_of(measured.output_dir)
    rate = lines[-1]["images_per_second"]
    overhead = took - MEASURED_STEPS * batch / rate
    left = end - time.time() - overhead - 30
    total = int(SAFETY * rate * left / batch) * batch
    if total <= 0:
        raise UserError(f"{name}: nothing is left of {config.minutes:g} minutes after compiling; give more --minutes")
    say(name, f"{rate:.0f} images/s, {overhead:.0f} s beside it; {total:,} images in the {left:.0f} s that are left")
    whole = replace(
        preset,
        total_images=total,
        cooldown_images=int(COOLDOWN * total),
        warmup_images=min(preset.warmup_images, total // 20),
        validation_images=total // 4,
        sample_images=total // 2,
        checkpoint_images=total // 8,
    )
    while True:
        try:
            train_ddpm.main(whole)
            break
        except UserError as error:  # the loss is not a number: go on from the last checkpoint while there is time
            say(name, f"{error}")
            if time.time() > end - left / 2:
                raise
    say(name, "trained")

    folder = config.output_dir / "runs" / f"{name}-half"
    pipeline = ClassConditionalDDPMPipeline.from_pretrained(whole.output_dir)
    pipeline.to(dtype=torch.float16).save_pretrained(folder)
    for path in ("metrics.jsonl", "settings.json", "run.json", "seen_images.csv", "README.md"):
        shutil.copyfile(whole.output_dir / path, folder / path)
    shutil.make_archive(str(config.output_dir / name), "gztar", folder)
    shutil.make_archive(str(config.output_dir / f"{name}-samples"), "gztar", whole.output_dir / "samples")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    sizes = {"images": total, "images_per_second": rate, "seconds": metrics_of(whole.output_dir)[-1]["seconds"]}
    write_json(config.output_dir / f"{name}.json", {"device": device, "torch": torch.__version__, **sizes})


def metrics_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def say(name: str, what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {name}: {what}", flush=True)


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
