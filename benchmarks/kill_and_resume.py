"""Kill a training at random moments, give the same command again each time, and compare with a run left alone.

python benchmarks/kill_and_resume.py --data DIR --output_dir runs/benchmarks/kill_and_resume --kills 10
"""

import filecmp
import multiprocessing
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train_ddpm  # noqa: E402
from galaxy_diffusion.shared.run_folder import write_json  # noqa: E402
from gz2_dataset import UserError  # noqa: E402
from gz2_dataset.command_line import provenance, run  # noqa: E402

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
LONGEST_WAIT = 0.2  # seconds between a change of the folder and the kill


@dataclass
class Config:
    """Settings of the experiment."""

    data: str
    """Any data that train_ddpm.py takes."""
    output_dir: Path
    """Receives both runs and kills.json; must not exist."""
    kills: int = 10
    """How often the run is killed."""
    total_images: int = 480
    """Length of the training, with the test preset."""
    seed: int = 0
    """Seed of the moments."""


def main(config: Config) -> None:
    if config.output_dir.exists():
        raise UserError(f"{config.output_dir}: exists; give another --output_dir")
    preset = yaml.safe_load((ROOT / "configs/ddpm_tiny.yaml").read_text())
    length = {"total_images": config.total_images, "sample_images": 0}
    alone = train_ddpm.Config(config.data, config.output_dir / "alone", **{**preset, **length})
    killed = replace(alone, output_dir=config.output_dir / "killed")
    train(alone)
    moments = kill_at_random(killed, config.kills, config.seed)
    train(killed)
    same = filecmp.cmp(alone.output_dir / WEIGHTS, killed.output_dir / WEIGHTS, shallow=False)
    result = {"kills": moments, "weights_are_the_same_to_the_bit": same}
    write_json(config.output_dir / "kills.json", {**provenance(config), **result})
    for moment in moments:
        print(f"killed after {moment['changes']} changes of the folder, the last: {moment['last']}")
    print(f"{len(moments)} kills; weights the same to the bit: {same}")


def kill_at_random(config: train_ddpm.Config, kills: int, seed: int) -> list[dict]:
    """Begin a training and kill it with SIGKILL, over and over.

    A moment is a number of changes of the output folder, so that writing is likely to be hit, and a wait after them.

    Returns
    -------
    list of dict
        For each kill, the number of changes before it and the last one. A run that had already finished is started
        again as if it had not, and killed while it saves its model anew.
    """
    rng = np.random.default_rng(seed)
    moments = []
    while len(moments) < kills:
        process = started(config)
        before, changes, last = snapshot(config.output_dir), 0, "start"
        wanted = int(rng.integers(1, 25))
        while changes < wanted and process.is_alive():
            process.join(timeout=0.002)
            now = snapshot(config.output_dir)
            if new := now ^ before:
                changes, last, before = changes + 1, sorted(new)[-1][0], now
        process.join(timeout=rng.uniform(0, LONGEST_WAIT))
        if process.is_alive():
            process.kill()
            process.join()
            moments.append({"changes": changes, "last": last})
        else:
            (config.output_dir / "model_index.json").unlink()
    return moments


def train(config: train_ddpm.Config) -> None:
    """Train to the end in a separate process."""
    process = started(config)
    process.join()
    if process.exitcode:
        raise UserError(f"{config.output_dir}: the training ended with status {process.exitcode}")


def started(config: train_ddpm.Config) -> multiprocessing.Process:
    """A training in a process that is forked from one that has imported everything and done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train_ddpm"])
    process = context.Process(target=train_ddpm.main, args=(config,))
    process.start()
    return process


def snapshot(folder: Path) -> set[tuple[str, int]]:
    """Files of a folder with their sizes."""
    files = (os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return {(os.path.relpath(file, folder), size) for file in files if (size := size_of(file)) is not None}


def size_of(file: str) -> int | None:
    try:
        return os.stat(file).st_size
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
