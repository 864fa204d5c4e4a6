"""What surrounds a classifier's training by `Trainer`: progress, early stopping, its checkpoints."""

import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors import safe_open
from tqdm.auto import tqdm
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainerState
from transformers.trainer_pt_utils import safe_globals

from galaxy_diffusion.shared.checkpoint import MANIFEST, check_numbers, last_of, newest_whole, no_checkpoint, seal
from galaxy_diffusion.shared.ending import Ending
from galaxy_diffusion.shared.run_folder import MetricsLog
from galaxy_diffusion.shared.state_file import fit_to_parameters
from gz2_dataset import UserError
from gz2_dataset.aside import as_umask_says


class ClassifierTrainer(Trainer):
    """`Trainer` without half-written checkpoints, and without its count of operations, which costs time."""

    def floating_point_ops(self, inputs: dict) -> int:
        return 0

    def _save_checkpoint(self, *args: Any) -> None:
        """Write a checkpoint, or nothing where it cannot be written whole."""
        try:
            super()._save_checkpoint(*args)
        except BaseException:
            shutil.rmtree(Path(str(self.args.output_dir), f"checkpoint-{self.state.global_step}"), ignore_errors=True)
            raise


class Progress(TrainerCallback):
    """A progress bar in images and, on the main process, a metrics.jsonl; stops a training whose loss is not a number.

    Parameters
    ----------
    folder : Path
        The run's folder.
    batch_size : int
        Images per step, over all processes.

    Attributes
    ----------
    seconds : float
        Seconds that the training took, not counting interruptions; known when it has ended.
    """

    bar: Any = None

    def __init__(self, folder: Path, batch_size: int):
        self.folder, self.batch_size = folder, batch_size

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        seen = state.global_step * self.batch_size
        self.log = MetricsLog(self.folder / "metrics.jsonl", seen) if state.is_world_process_zero else None
        self.started = time.monotonic() - (self.log.last.get("seconds", 0.0) if self.log else 0.0)
        self.bar = tqdm(
            total=state.max_steps * self.batch_size,
            initial=seen,
            desc="train",
            unit="image",
            disable=not state.is_world_process_zero,
        )

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.bar.update(self.batch_size)

    def on_log(self, args, state, control, logs: dict[str, float], **kwargs) -> None:
        if not math.isfinite(logs.get("loss", 0.0)):
            seen = state.global_step * self.batch_size
            last = last_of(checkpoints(self.folder))
            raise UserError(f"{self.folder}: the loss is not a number after {seen} images; lower learning_rate; {last}")
        if self.log and "train_runtime" not in logs:
            self.bar.set_postfix({key: f"{logs[key]:.3f}" for key in ("loss", "eval_f1") if key in logs})
            unwanted = ("epoch", "_runtime", "_per_second", "_time")
            record = {key: value for key, value in logs.items() if not key.endswith(unwanted)}
            seconds = time.monotonic() - self.started
            self.log.write(images_seen=state.global_step * self.batch_size, **record, seconds=seconds)

    def on_train_end(self, args, state, control, **kwargs) -> None:
        self.seconds = time.monotonic() - self.started

    def close(self) -> None:
        """Release the terminal line."""
        if self.bar is not None:
            self.bar.close()


class EarlyStopping(EarlyStoppingCallback):
    """Transformers' early stopping, which also stops at once if a run is resumed that had already stopped."""

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        control.should_training_stop = self.early_stopping_patience_counter >= self.early_stopping_patience


class FittingOptimizer(TrainerCallback):
    """Refuses a checkpoint whose optimizer does not fit the net, before a kernel writes beyond its memory."""

    def on_train_begin(self, args, state, control, optimizer: torch.optim.Optimizer, **kwargs) -> None:
        try:
            fit_to_parameters(optimizer)
        except ValueError as error:
            raise no_checkpoint(Path(args.output_dir, f"checkpoint-{state.global_step}"), error) from None


class Checkpoints(TrainerCallback):
    """Checkpoints of numbers only, sealed when they are whole; the newest by their steps stay, whatever the clock says.

    Parameters
    ----------
    keep : int
        How many; the best one stays too where one is chosen.
    """

    def __init__(self, keep: int = 2):
        self.keep = keep

    def on_step_end(self, args, state, control, model: torch.nn.Module, **kwargs) -> None:
        if control.should_save:
            folder = Path(args.output_dir)
            check_numbers(model.state_dict(), f"the net after step {state.global_step}", checkpoints(folder))

    def on_save(self, args, state, control, **kwargs) -> None:
        PartialState().wait_for_everyone()  # each process writes its own random numbers
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir))
            as_umask_says(folder / f"checkpoint-{state.global_step}")
            seal(folder / f"checkpoint-{state.global_step}")
            best = state.best_model_checkpoint and Path(state.best_model_checkpoint).name
            for old in checkpoints(folder)[: -self.keep]:
                if old.name != best:
                    (old / MANIFEST).unlink()  # first, so that half a checkpoint is none
                    shutil.rmtree(old)


class EndWhenTold(TrainerCallback):
    """Ends a training that a signal has told to, with a checkpoint of its last step.

    Parameters
    ----------
    noted : list of int
        Where the numbers of signals arrive; see `noted_signals`.
    """

    def __init__(self, noted: list[int]):
        self.noted = noted

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.ending = Ending(self.noted)

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if self.ending.look():
            control.should_save = True

    def on_save(self, args, state, control, **kwargs) -> None:
        if self.ending.is_near:
            self.ending.come()


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a classifier's run, oldest first."""
    found = (path.parent for path in folder.glob(f"checkpoint-*/{MANIFEST}"))
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def newest_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint, in which nothing is a pickle of more than tensors and numbers."""

    def load(checkpoint: Path) -> None:
        TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        safe_open(checkpoint / "model.safetensors", "pt")
        with safe_globals():
            for file in checkpoint.glob("*.pt*"):
                torch.load(file, map_location="cpu", weights_only=True)

    newest = newest_whole(checkpoints(folder), load)
    return str(newest) if newest else None
