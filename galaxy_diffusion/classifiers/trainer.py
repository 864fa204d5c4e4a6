"""What surrounds a classifier's training by `Trainer`: progress, early stopping, its checkpoints, its predictions."""

import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from scipy.special import softmax
from tqdm.auto import tqdm
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainerState
from transformers.trainer_pt_utils import safe_globals

from galaxy_diffusion.shared.run_folder import MetricsLog, no_checkpoint
from galaxy_diffusion.shared.state_file import fit_to_parameters
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.aside import written_aside


class ClassifierTrainer(Trainer):
    """`Trainer` without its count of operations, which walks over all modules at every step and which nobody reads."""

    def floating_point_ops(self, inputs: dict) -> int:
        return 0


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

    bar: tqdm

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
            raise UserError(f"{self.folder}: the loss is not a number after {seen} images; lower learning_rate")
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


def newest_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint: `Trainer` writes trainer_state.json last.

    Raises
    ------
    UserError
        If a file in it is damaged, or is a pickle of more than tensors and numbers, which `Trainer` would not run
        either.
    """
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    if not whole:
        return None
    newest = max(whole, key=lambda path: int(path.name.split("-")[1]))
    try:
        TrainerState.load_from_json(str(newest / "trainer_state.json"))
        safe_open(newest / "model.safetensors", "pt")
        with safe_globals():
            for file in newest.glob("*.pt*"):
                torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise no_checkpoint(newest, error) from None
    return str(newest)


def save_predictions(path: Path, galaxies: GalaxyArrays, logits: np.ndarray) -> None:
    """Write the table that all statistics are computed from.

    Parameters
    ----------
    path : Path
        CSV with image_id, label, prediction and one column ``p_CLASS`` per class.
    galaxies : GalaxyArrays
        Of a split that was held out.
    logits : ndarray, shape (N, classes)
    """
    probabilities = softmax(logits.astype(np.float64), axis=1)
    names = np.array(galaxies.class_names)
    table = pd.DataFrame(
        {
            "image_id": galaxies.image_ids,
            "label": names[galaxies.labels],
            "prediction": names[probabilities.argmax(axis=1)],
        }
    )
    table[[f"p_{name}" for name in names]] = probabilities
    with written_aside(path) as aside:
        table.to_csv(aside, index=False)
