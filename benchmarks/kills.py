"""Kill commands at random moments, give each the same command again, and compare with a run that was left alone.

    python benchmarks/kills.py --data_dir IMAGES --output_dir runs/benchmarks/kills --kills 10

IMAGES is what `gz2_dataset build` takes. Each command works on what those before it have made when left alone; a study
makes all by itself, and is killed with all that it has started.
"""

import json
import multiprocessing
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import evaluate_images  # noqa: E402
import generate  # noqa: E402
import report  # noqa: E402
import train_classifier  # noqa: E402
import train_ddpm  # noqa: E402
import train_sagan  # noqa: E402
from benchmarks.watching import kill  # noqa: E402
from galaxy_diffusion.shared.run_folder import write_json  # noqa: E402
from gz2_dataset import UserError, build  # noqa: E402
from gz2_dataset.command_line import alone, provenance, run  # noqa: E402
from gz2_dataset.ranges import Checked, at_least  # noqa: E402
from tests.warm_python import SERVERS, programs  # noqa: E402

CHAIN = ("build", "train_ddpm", "train_sagan", "generate", "train_classifier", "evaluate", "report")
COMMANDS = (*CHAIN, "study")
MOST_CHANGES, MOST_CHANGES_OF_A_STUDY = 25, 80  # before a kill
LONGEST_WAIT = 0.2  # seconds between a change of the folder and the kill
OF_TIME = {"seconds", "images_per_second", "memory_gb", "output_dir", "study", "platform"}
"""Entries of records that differ between two runs that are left alone."""
NOT_COMPARED = {".snakemake", "logs"}
"""Folders that tell of the course of a study."""


@dataclass
class Config(Checked):
    """Settings of the experiment."""

    data_dir: Path
    """Images of galaxies with their classes, as `python -m gz2_dataset build` takes them."""
    output_dir: Path
    """Receives all runs and kills.json; must not hold any."""
    kills: int = field(default=10, metadata=at_least(1))
    """How often each command is killed."""
    commands: list[str] = field(default_factory=lambda: list(COMMANDS))
    """Which of them are killed; the others are only run."""
    total_images: int = field(default=480, metadata=at_least(1))
    """Length of the trainings, with the test presets."""
    seed: int = field(default=0, metadata=at_least(0))
    """Of the moments."""


def main(config: Config) -> None:
    if "study" in config.commands:  # its commands too are forked from a process that has the libraries loaded
        os.environ["PATH"] = os.pathsep.join([str(programs()), os.environ["PATH"]])
    rows = []
    last = max((CHAIN.index(command) for command in config.commands if command in CHAIN), default=-1)
    for command in (*CHAIN[: 1 + last], *({"study"} & {*config.commands})):
        whole = config.output_dir / "alone" / command
        finish(begun(config, command, whole), whole)
        if command not in config.commands:
            continue
        killed = config.output_dir / "killed" / command
        rng = np.random.default_rng([config.seed, COMMANDS.index(command)])
        most = MOST_CHANGES_OF_A_STUDY if command == "study" else MOST_CHANGES
        moments = kill_at_random(partial(begun, config, command, killed), killed, config.kills, most, rng)
        finish(begun(config, command, killed), killed)
        rows.append({"command": command, "kills": moments, "differs": differences(whole, killed)})
        found = ", ".join(rows[-1]["differs"]) or "nothing"
        print(f"{command}: {len(moments)} kills; differs from a run left alone: {found}", flush=True)
        write_json(config.output_dir / "kills.json", {**provenance(config), "commands": rows})
    if any(row["differs"] for row in rows):
        raise UserError(f"{config.output_dir}/kills.json: a killed run is not as one that was left alone")


def carry_out(config: Config, command: str, output: Path) -> None:
    """One command as a user gives it, with the test presets."""
    made = config.output_dir / "alone"
    data, images = str(made / "build" / "data"), str(made / "generate")
    short = {"total_images": config.total_images}

    def preset(name: str) -> dict[str, Any]:
        return yaml.safe_load((ROOT / f"configs/{name}_tiny.yaml").read_text())

    if command == "build":
        build(config.data_dir, output / "data", test_per_class=4, validation_per_class=1)
    elif command in ("train_ddpm", "train_sagan"):
        script = {"train_ddpm": train_ddpm, "train_sagan": train_sagan}[command]
        settings = preset(command.removeprefix("train_")) | {"sample_images": 0, "checkpoint_images": 64} | short
        alone(script.main, script.Config(data=data, output_dir=output, **settings))
    elif command == "train_classifier":
        settings = preset("classifier") | {"augment_with": images} | short
        alone(train_classifier.main, train_classifier.Config(data=data, output_dir=output, **settings))
    elif command == "generate":
        alone(generate.main, generate.Config(str(made / "train_ddpm"), "4", output, num_inference_steps=4, grid=True))
    elif command == "evaluate":
        plain = {"nets": [], "probe": False, "morphology": False}
        alone(evaluate_images.main, evaluate_images.Config(data, images, output, **plain))
    elif command == "study":
        output.mkdir(parents=True, exist_ok=True)
        of_images = {
            "data_dir": str(config.data_dir.absolute()),
            "build": {"test_per_class": 6, "validation_per_class": 2},
        }
        preset_of_images = {"config": str(ROOT / "configs/study_tiny.yaml"), "data": of_images}
        (output / "preset.yaml").write_text(yaml.safe_dump(preset_of_images))
        os.chdir(output)
        arguments = ["python", "-m", "galaxy_diffusion", "study", "--config", "preset.yaml", "--cores", "1"]
        os.execvp(arguments[0], arguments)
    else:
        study = config.output_dir / "study"
        link(study / "data", Path(data))
        link(study / "classifiers/net/original/seed0", made / "train_classifier")
        alone(report.main, report.Config(study, output))


def link(name: Path, folder: Path) -> None:
    """A link to a folder, made once."""
    name.parent.mkdir(parents=True, exist_ok=True)
    if not name.exists():
        name.symlink_to(folder.resolve(), target_is_directory=True)


def begun(config: Config, command: str, output: Path) -> multiprocessing.Process:
    """A command in a process that is forked from one that has imported everything and done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__ if __name__ != "__main__" else "benchmarks.kills"])
    process = context.Process(target=carry_out, args=(config, command, output))
    try:
        process.start()
    except EOFError:  # the process to fork from has ended with one that was killed; it is started again
        process = context.Process(target=carry_out, args=(config, command, output))
        process.start()
    return process


def finish(process: multiprocessing.Process, output: Path) -> None:
    """Wait for the end of a command."""
    process.join()
    if process.exitcode:
        raise UserError(f"{output}: the command ended with status {process.exitcode}")


def kill_at_random(
    begin: Callable[[], multiprocessing.Process], folder: Path, kills: int, most: int, rng: np.random.Generator
) -> list[dict]:
    """Begin a command and kill it with SIGKILL, over and over.

    A moment is a number of changes of the output folder below ``most``, so that writing is likely to be hit, and a wait
    after them. A command that ends before its moment begins anew from nothing, and its next moment comes sooner.

    Returns
    -------
    list of dict
        For each kill, the number of changes before it and the last one.
    """
    moments = []
    while len(moments) < kills:
        process = begin()
        before, changes, last = snapshot(folder), 0, "start"
        wanted = int(rng.integers(0, most))
        while changes < wanted and process.is_alive():
            process.join(timeout=0.002)
            now = snapshot(folder)
            if new := now ^ before:
                changes, last, before = changes + 1, sorted(new)[-1][0], now
        process.join(timeout=rng.uniform(0, LONGEST_WAIT))
        if process.is_alive():
            kill(process.pid)
            for server in SERVERS:  # of which a study's commands are forks
                for command in psutil.Process(server.pid).children():
                    kill(command.pid)
            process.join()
            moments.append({"changes": changes, "last": last})
        else:
            finish(process, folder)
            most = max(1, most // 2)
            shutil.rmtree(folder)
    return moments


def snapshot(folder: Path) -> set[tuple[str, int]]:
    """Files of a folder with their sizes."""
    files = (os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return {(os.path.relpath(file, folder), size) for file in files if (size := size_of(file)) is not None}


def size_of(file: str) -> int | None:
    try:
        return os.stat(file).st_size
    except FileNotFoundError:
        return None


def differences(whole: Path, killed: Path) -> list[str]:
    """Files that only one of two runs has, or whose contents differ by more than times and places."""
    names = {name for folder in (whole, killed) for name, _ in snapshot(folder)}
    compared = {name for name in names if not NOT_COMPARED & {*Path(name).parts}}
    return sorted(name for name in compared if content(whole, name) != content(killed, name))


def content(folder: Path, name: str) -> Any:
    """What is compared of a file; None if there is none."""
    path = folder / name
    if not path.exists():
        return None
    if path.suffix not in (".json", ".jsonl", ".md", ".html"):
        return path.read_bytes()
    text = path.read_text(encoding="utf-8").replace(str(folder), "FOLDER")
    if path.suffix in (".md", ".html"):
        return re.sub(r"[\d.]+ (s|min|h|images/s)\b", "TIME", text)
    return [without_times(json.loads(part)) for part in (text.splitlines() if path.suffix == ".jsonl" else [text])]


def without_times(value: Any) -> Any:
    """JSON without the entries `OF_TIME`."""
    if isinstance(value, dict):
        return {key: without_times(entry) for key, entry in value.items() if key not in OF_TIME}
    return [without_times(entry) for entry in value] if isinstance(value, list) else value


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
