"""Checkpoints that are whole or absent: the newest whole one is continued."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from galaxy_diffusion.shared.state_file import fit_to_parameters, read_state, write_state
from gz2_dataset import UserError
from gz2_dataset.reading import read_json
from gz2_dataset.user_error import in_short

PREFIX = "images-"
MANIFEST = "manifest.json"


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
                state = part.state_dict()
                check_numbers(state, f"{name} after {images_seen} images", checkpoints(folder))
                write_state(aside / f"{name}.safetensors", state)
        random = {kind: module.get_rng_state() for kind, module in generators(accelerator.device).items()}
        write_state(aside / random_file(accelerator), random)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            seal(aside)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError | SafetensorError):
            last = last_of(checkpoints(folder))
            said = f"{aside}: cannot write the checkpoint ({error}); free space, then run the command again; {last}"
            raise UserError(said) from None
        raise
    if accelerator.is_main_process:
        whole = folder / aside.name.removeprefix(".")
        remove(whole)
        aside.rename(whole)
        flush(folder)
        for old in checkpoints(folder)[:-keep]:
            remove(old)
    accelerator.wait_for_everyone()


def seal(checkpoint: Path) -> None:
    """Write the manifest of a checkpoint, which says what is in each of its files; all of it is then on the disk."""
    files = sorted(path for path in checkpoint.iterdir() if path.name != MANIFEST)
    (checkpoint / MANIFEST).write_text(
        json.dumps({path.name: digest_of(path) for path in files}, indent=2) + "\n", encoding="utf-8"
    )
    for path in (*files, checkpoint / MANIFEST, checkpoint):
        flush(path)


def check_seal(checkpoint: Path) -> None:
    """Raise a ValueError or OSError if a checkpoint is not as its manifest says.

    One without a manifest, as earlier versions wrote them, is left to whether it can be loaded.
    """
    if odd := next((path.name for path in checkpoint.iterdir() if not path.is_file()), None):
        raise ValueError(f"{odd} is no file")
    if not (checkpoint / MANIFEST).exists():
        return
    for name, digest in read_json(checkpoint / MANIFEST, "").items():
        if digest_of(checkpoint / Path(name).name) != digest:
            raise ValueError(f"{name} is not as it was written")


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Return when a file, or the names in a folder, are on the disk and outlast a power failure."""
    if path.is_dir() and os.name == "nt":  # whose folders cannot be opened
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_numbers(state: Any, what: str, earlier: list[Path]) -> None:
    """Raise a `UserError` if a tensor of a nested state holds what is not a number.

    Parameters
    ----------
    state : nested dicts, lists and tuples
    what : str
        What it is the state of.
    earlier : list of Path
        Checkpoints, of which the last is named.
    """
    if isinstance(state, dict | list | tuple):
        for value in state.values() if isinstance(state, dict) else state:
            check_numbers(value, what, earlier)
    elif isinstance(state, torch.Tensor) and state.is_floating_point() and not state.isfinite().all():
        remedy = "lower learning_rate or use mixed_precision bf16"
        raise UserError(f"{what}: there is a weight that is not a number; {remedy}; {last_of(earlier)}")


def last_of(checkpoints: list[Path]) -> str:
    """The last of the checkpoints in words."""
    return f"the last checkpoint is {checkpoints[-1]}" if checkpoints else "there is no checkpoint yet"


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

    Newer ones that are damaged are named on stderr and set aside.

    Raises
    ------
    UserError
        If there are checkpoints and none can be loaded.
    """

    def load(checkpoint: Path) -> None:
        for name, part in stateful(accelerator, parts).items():
            part.load_state_dict(read_state(checkpoint / f"{name}.safetensors"))
            if isinstance(part, torch.optim.Optimizer):
                fit_to_parameters(part)
        if (own := checkpoint / random_file(accelerator)).exists():  # absent if there were fewer processes
            random, known = read_state(own), generators(accelerator.device)
            for kind in random.keys() & known.keys():
                known[kind].set_rng_state(random[kind])

    found = checkpoints(folder)
    newest = newest_whole(found, load)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        for damaged in (path for path in found if newest and path > newest):
            set_aside(damaged)
    return int(newest.name.removeprefix(PREFIX)) if newest else 0


def newest_whole(checkpoints: list[Path], load: Callable[[Path], None]) -> Path | None:
    """The newest of the checkpoints that is as it was written and that ``load`` takes; None if there are none.

    Parameters
    ----------
    checkpoints : list of Path
        From the oldest to the newest. Those that are damaged are named on stderr.
    load : callable
        Raises any exception of what it does not take.

    Raises
    ------
    UserError
        If none of them can be loaded: what the newest lacks.
    """
    problems: dict[Path, Exception] = {}
    for checkpoint in reversed(checkpoints):
        try:
            check_seal(checkpoint)
            load(checkpoint)
        except Exception as error:
            problems[checkpoint] = error
            continue
        for damaged, error in problems.items():
            print(f"note: {damaged} is damaged ({in_short(error)}); going on from {checkpoint.name}", file=sys.stderr)
        return checkpoint
    for damaged, error in problems.items():
        raise no_checkpoint(damaged, error)
    return None


def set_aside(checkpoint: Path) -> None:
    """Keep a damaged checkpoint under a name under which it is none."""
    name = checkpoint.with_name(f"damaged-{checkpoint.name}")
    shutil.rmtree(name, ignore_errors=True)
    checkpoint.rename(name)


def no_checkpoint(folder: Path, error: Exception) -> UserError:
    """What to say of a checkpoint that cannot be loaded."""
    return UserError(
        f"{folder}: is no checkpoint of this version and net ({in_short(error)}); remove it, and the same command goes "
        "on from the one before or from the start"
    )


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted(folder.glob(f"{PREFIX}*"))
