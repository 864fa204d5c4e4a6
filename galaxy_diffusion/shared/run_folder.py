"""A run's folder: checkpoints that are whole or absent, metrics that match them."""

import json
import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from galaxy_diffusion.shared.state_file import fit_to_parameters, read_state, write_state
from gz2_dataset import UserError
from gz2_dataset.aside import write_whole

PREFIX = "images-"
FREE = {"free": True}
"""Metadata of a dataclass field that may change between two calls of the same run."""


def save_checkpoint(
    accelerator: Accelerator, parts: dict[str, Any], folder: Path, images_seen: int, keep: int = 2
) -> None:
    """Write the state of a training to a hidden folder, then rename it; the newest ``keep`` stay.

    Parameters
    ----------
    accelerator : Accelerator
        All processes call this.
    parts : dict
        Nets, optimizers and averages, prepared or not, by the names of their files. The gradient scaler of
        ``accelerator`` and the state of the random numbers of each process are added.
    folder : Path
        The run's checkpoint folder.
    images_seen : int
        Names the checkpoint.
    keep : int
        Number of checkpoints to keep.
    """
    aside = folder / f".{PREFIX}{images_seen:012d}"
    if accelerator.is_main_process:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    accelerator.wait_for_everyone()
    try:
        if accelerator.is_main_process:
            for name, part in stateful(accelerator, parts).items():
                write_state(aside / f"{name}.safetensors", part.state_dict())
        random = {kind: module.get_rng_state() for kind, module in generators(accelerator.device).items()}
        write_state(aside / random_file(accelerator), random)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{aside}: cannot write the checkpoint ({error}); free space, then run the command again"
        ) from None
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        whole = folder / aside.name.removeprefix(".")
        remove(whole)
        aside.rename(whole)
        for old in checkpoints(folder)[:-keep]:
            remove(old)
    accelerator.wait_for_everyone()


def stateful(accelerator: Accelerator, parts: dict[str, Any]) -> dict[str, Any]:
    """What is saved of a training: its parts without what accelerate has put around them, and the gradient scaler."""
    scaler = {"scaler": accelerator.scaler} if accelerator.scaler else {}
    nets = {name: accelerator.unwrap_model(part) for name, part in parts.items() if isinstance(part, torch.nn.Module)}
    return parts | nets | scaler


def random_file(accelerator: Accelerator) -> str:
    return f"random_{accelerator.process_index}.safetensors"


def generators(device: torch.device) -> dict[str, Any]:
    """The random numbers of torch, which dropout draws; all others come from a seed and the images seen."""
    return {"cpu": torch.random} | {kind: torch.get_device_module(kind) for kind in {device.type} - {"cpu"}}


def remove(checkpoint: Path) -> None:
    """Hide a checkpoint, then remove it, so that an interruption never leaves half a checkpoint."""
    hidden = checkpoint.with_name(f".removed-{checkpoint.name}")
    if checkpoint.exists():
        checkpoint.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def load_newest(accelerator: Accelerator, parts: dict[str, Any], folder: Path) -> int:
    """Load the newest whole checkpoint into the parts of a training; returns the images seen, 0 if there is none.

    Raises
    ------
    UserError
        If it is damaged, of another net, or of a version that wrote pickles.
    """
    found = checkpoints(folder)
    if not found:
        return 0
    newest = found[-1]
    try:
        for name, part in stateful(accelerator, parts).items():
            part.load_state_dict(read_state(newest / f"{name}.safetensors"))
            if isinstance(part, torch.optim.Optimizer):
                fit_to_parameters(part)
        if (own := newest / random_file(accelerator)).exists():  # absent if there were fewer processes
            random, known = read_state(own), generators(accelerator.device)
            for kind in random.keys() & known.keys():
                known[kind].set_rng_state(random[kind])
    except Exception as error:
        raise no_checkpoint(newest, error) from None
    return int(newest.name.removeprefix(PREFIX))


def no_checkpoint(folder: Path, error: Exception) -> UserError:
    """What to say of a checkpoint that cannot be loaded."""
    reason = " ".join(f"{type(error).__name__}: {error}".partition(". ")[0].split())[:200]
    return UserError(
        f"{folder}: is no checkpoint of this version and net ({reason}); remove it, and the same command goes on from "
        "the one before or from the start"
    )


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted(folder.glob(f"{PREFIX}*"))


def refuse_links(folder: Path) -> None:
    """Refuse a folder to be written to that has a link to another: what came from somebody else could lead anywhere.

    Raises
    ------
    UserError
        If one of its folders, at any depth, is a link that leads out of it.
    """
    for parent, folders, _ in os.walk(folder):
        for link in (Path(parent, name) for name in folders):
            if link.is_symlink() and not link.resolve().is_relative_to(folder.resolve()):
                raise UserError(f"{link}: is a link that leads out of {folder}; remove it, or link the whole folder")


def same_run(path: Path, description: dict[str, Any], option: str = "--output_dir") -> None:
    """Write the description of a run, or refuse to continue where another run has begun.

    Parameters
    ----------
    path : Path
        JSON file in the run's folder.
    description : dict
        Everything that the result depends on: the config and the data's fingerprint.
    option : str
        With which the user says where the run is.

    Raises
    ------
    UserError
        If the file has another value; a key that only one of them has counts as None in the other. If the folder has
        links that lead out of it.
    """
    refuse_links(path.parent)
    if not path.exists():
        write_json(path, description)
        return
    earlier, now = json.loads(path.read_text()), json.loads(json.dumps(description))
    if changed := sorted(key for key in {*earlier, *now} if earlier.get(key) != now.get(key)):
        key = changed[0]
        raise UserError(
            f"{path.parent}: holds a run with another {key} ({earlier.get(key)!r}, now {now.get(key)!r}); "
            f"give another {option} or the same settings"
        )


def fixed_settings(config: Any) -> dict[str, Any]:
    """The settings of a run that may not change between two calls.

    Parameters
    ----------
    config : dataclass instance
        All fields count, except those whose metadata are `FREE`.
    """
    return {field.name: getattr(config, field.name) for field in fields(config) if not field.metadata.get("free")}


def write_json(path: Path, content: dict) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


class MetricsLog:
    """A ``metrics.jsonl`` with one line per record, cut back to where a resumed run begins.

    Parameters
    ----------
    path : Path
    images_seen : int
        Records after it are dropped.

    Attributes
    ----------
    last : dict
        The last record kept; empty for a new run.
    """

    def __init__(self, path: Path, images_seen: int):
        kept = []
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                if json.loads(line)["images_seen"] <= images_seen:
                    kept.append(line)
            except ValueError:  # a line that a killed run left half-written
                break
        write_whole(path, "".join(f"{line}\n" for line in kept))
        self.last: dict[str, float] = json.loads(kept[-1]) if kept else {}
        self.path = path

    def write(self, **record: float) -> None:
        """Append one record."""
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
