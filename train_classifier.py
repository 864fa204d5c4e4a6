"""Train a galaxy classifier and test it. To go on after an interruption, run the same command again."""

import contextlib
import math
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import transformers
from scipy.special import softmax
from timm.optim import param_groups_weight_decay
from tqdm.auto import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from galaxy_diffusion.classification_metric import GalaxyClassification
from galaxy_diffusion.classifier_data import (
    GalaxyBatches,
    StreamedTrainingBatches,
    TrainingBatches,
    check_classes,
    check_generator_saw_none,
    collate,
    count_classes,
)
from galaxy_diffusion.classifier_model import make_model
from galaxy_diffusion.cores import use_all_cores
from galaxy_diffusion.generated import load_generated
from galaxy_diffusion.run_state import MetricsLog, same_run, write_json
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from gz2_dataset.command_line import provenance, run
from gz2_dataset.galaxy_stream import GalaxyStream
from gz2_dataset.streaming import load_stream

# What may differ between two calls of the same run.
FREE = {"data", "augment_with", "output_dir", "logging_steps", "eval_steps", "save_steps", "num_workers", "report_to"}


@dataclass
class Config:
    """Settings of a training.

    Attributes
    ----------
    data : str
        Folder of python -m gz2_dataset build, Hub id, or a folder of images a class.
    output_dir : str
        Becomes the model's folder, with metrics.json, predictions.csv and metrics.jsonl.
    streaming : bool
        Read training galaxies from the Hub while they are needed, without a local copy; the test and validation splits
        are read once into memory. ``data`` is then a Hub id or a folder of python -m gz2_dataset build.
    augment_with : str | None
        Folder of generated images that are added to the training split.
    backbone : str
        Name of a model in timm.
    model_args : dict[str, Any]
        Passed on to timm.create_model: drop_rate, embed_dim, depths, channel_multiplier, ...
    pretrained : bool
        Start from timm's ImageNet weights, from the Hub or its local cache.
    resolution : int
        Side of the images in pixels.
    center_crop : int
        Side in pixels of the central square kept of each original image.
    max_steps : int
        Optimiser steps: the same for original and augmented data.
    batch_size : int
        Images a step over all processes.
    gradient_accumulation_steps : int
        Parts in which a process takes its share of a batch, where memory is short.
    learning_rate : float
        Of AdamW at the end of the warm-up; it then falls to 0 as a cosine.
    warmup_steps : int
        Steps over which the learning rate rises from 0.
    weight_decay : float
        Of AdamW; none for biases and normalisations.
    label_smoothing : float
        Share of the target that is spread over all classes.
    mixed_precision : Literal["no", "bf16", "fp16"]
        Precision of the network; bf16 works on a CPU too.
    seed : int
        Initial weights, order, flips and dropout follow from it.
    logging_steps : int
        Steps between two lines of metrics.jsonl.
    eval_steps : int
        Steps between two looks at the validation split; nothing is selected by them.
    save_steps : int
        Steps between two checkpoints, of which the newest is kept until the end.
    num_workers : int
        Processes that prepare batches, for each training process.
    report_to : list[str]
        Trackers such as tensorboard, trackio or wandb.
    """

    data: str
    output_dir: str
    streaming: bool = False
    augment_with: str | None = None
    backbone: str = "tf_efficientnetv2_s"
    model_args: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    resolution: int = 224
    center_crop: int = 224
    max_steps: int = 2000
    batch_size: int = 64
    gradient_accumulation_steps: int = 1
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    seed: int = 0
    logging_steps: int = 50
    eval_steps: int = 250
    save_steps: int = 500
    num_workers: int = 0
    report_to: list[str] = field(default_factory=list)


def main(config: Config) -> None:
    use_all_cores()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    args = training_arguments(config)
    folder = Path(config.output_dir)

    with args.main_process_first():
        train, validation, test = (load_split(config, split) for split in ("train", "validation", "test"))
    held_out, parts = {"validation": validation, "test": test}, [train]
    if config.augment_with:
        check_generator_saw_none(config.augment_with, held_out)
        parts.append(load_generated(config.augment_with, train.class_names, config.resolution))
    check_classes(config.data, parts, held_out)
    args.eval_strategy = "steps" if len(validation) else "no"

    fingerprints = dict(zip(("train", "generated"), (part.fingerprint for part in parts), strict=False))
    fingerprints["test"] = test.fingerprint
    if args.process_index == 0:
        same = {key: value for key, value in provenance(config)["config"].items() if key not in FREE}
        same_run(folder / "settings.json", {**same, "data_fingerprint": fingerprints})
    if (folder / "metrics.json").exists():
        if args.process_index == 0:
            print(f"already finished: {folder}")
        return

    set_seed(config.seed)
    model = make_model(config.backbone, config.model_args, config.pretrained, config.resolution, train.class_names)
    mean, std = (model.config.pretrained_cfg[key] for key in ("mean", "std"))
    metric = GalaxyClassification(keep_in_memory=True)

    def figures(outcome: transformers.EvalPrediction) -> dict[str, float]:
        predictions = outcome.predictions.argmax(axis=1)
        results = metric.compute(predictions=predictions, references=outcome.label_ids, class_names=train.class_names)
        return {"accuracy": results["accuracy"], **results["macro"]}

    images_to_see = config.max_steps * config.batch_size
    if config.streaming:
        batches = StreamedTrainingBatches(parts, mean, std, images_to_see, config.seed, args.world_size)
    else:
        batches = TrainingBatches(parts, mean, std, images_to_see, config.seed)
    progress = Progress(folder, config.batch_size)
    groups = param_groups_weight_decay(model, config.weight_decay)
    trainer = Trainer(
        model,
        args,
        data_collator=collate,
        train_dataset=batches,
        eval_dataset=GalaxyBatches([validation], mean, std) if len(validation) else None,
        compute_metrics=figures,
        callbacks=[progress],
        optimizers=(torch.optim.AdamW(groups, lr=config.learning_rate), None),
    )
    trainer.remove_callback(PrinterCallback)
    with contextlib.closing(progress):
        trainer.train(resume_from_checkpoint=newest_checkpoint(folder))

    logits = trainer.predict(GalaxyBatches([test], mean, std)).predictions
    results = metric.compute(predictions=logits.argmax(axis=1), references=test.labels, class_names=train.class_names)
    if trainer.is_world_process_zero():
        trainer.accelerator.unwrap_model(trainer.model).save_pretrained(folder)
        save_predictions(folder / "predictions.csv", test, softmax(logits.astype(np.float64), axis=1))
        counts = {name: count_classes(part).tolist() for name, part in zip(("real", "generated"), parts, strict=False)}
        results |= {
            **provenance(config),
            "data_fingerprint": fingerprints,
            "n_train": {
                class_name: {"real": 0, "generated": 0} | {name: count[i] for name, count in counts.items()}
                for i, class_name in enumerate(train.class_names)
            },
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "steps": trainer.state.global_step,
            "seconds": progress.seconds,
            "images_per_second": images_to_see / progress.seconds,
        }
        write_json(folder / "metrics.json", results)
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        print(f"test: accuracy {results['accuracy']:.3f}, macro F1 {results['macro']['f1']:.3f} -> {folder}")
    trainer.accelerator.end_training()


def load_split(config: Config, split: str) -> GalaxyArrays | GalaxyStream:
    """A split in memory, or the train split as a stream where the training streams."""
    arguments = (config.data, split, config.resolution, config.center_crop)
    if not config.streaming:
        return load_arrays(*arguments, jpeg=True)
    stream = load_stream(*arguments, jpeg=True)
    return stream if split == "train" else stream.to_arrays()


def training_arguments(config: Config) -> TrainingArguments:
    """Arguments of `Trainer`; from here on the processes know each other."""
    on_cpu = not torch.accelerator.is_available()
    if config.mixed_precision == "fp16" and on_cpu:
        raise UserError("mixed_precision fp16 needs a GPU; take bf16 on this machine")
    if min(config.max_steps, config.batch_size, config.logging_steps, config.eval_steps, config.save_steps) < 1:
        raise UserError("max_steps, batch_size, logging_steps, eval_steps and save_steps must be at least 1")
    if config.streaming and config.num_workers:
        raise UserError("a stream prepares images in threads of its own; give --num_workers 0 with --streaming true")
    os.environ["ACCELERATE_MIXED_PRECISION"] = config.mixed_precision  # not that of accelerate's own config
    args = TrainingArguments(
        config.output_dir,
        max_steps=config.max_steps,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        train_sampling_strategy="sequential",
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_steps,
        label_smoothing_factor=config.label_smoothing,
        bf16=config.mixed_precision == "bf16",
        fp16=config.mixed_precision == "fp16",
        use_cpu=on_cpu,
        seed=config.seed,
        logging_steps=config.logging_steps,
        logging_nan_inf_filter=False,
        eval_steps=config.eval_steps,
        save_steps=config.save_steps,
        save_total_limit=1,
        dataloader_num_workers=config.num_workers,
        dataloader_pin_memory=not on_cpu,
        remove_unused_columns=False,
        report_to=config.report_to,
        disable_tqdm=True,
    )
    parts = args.world_size * config.gradient_accumulation_steps
    if config.batch_size % parts:
        raise UserError(f"batch_size {config.batch_size} does not divide by {parts} (processes x accumulation steps)")
    args.per_device_train_batch_size = args.per_device_eval_batch_size = config.batch_size // parts
    return args


def newest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that is whole: `Trainer` writes trainer_state.json last."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def save_predictions(path: Path, test: Any, probabilities: np.ndarray) -> None:
    """The results contract's table, written aside and renamed; ``probabilities`` has shape (N, classes)."""
    names = np.array(test.class_names)
    table = pd.DataFrame(
        {"image_id": test.image_ids, "label": names[test.labels], "prediction": names[probabilities.argmax(axis=1)]}
    )
    table[[f"p_{name}" for name in names]] = probabilities
    aside = path.with_name(f".{path.name}")
    table.to_csv(aside, index=False)
    aside.replace(path)


class Progress(TrainerCallback):
    """A progress bar in images and, on the main process, a metrics.jsonl; stops a training whose loss is no number."""

    def __init__(self, folder: Path, batch_size: int):
        self.folder, self.batch_size, self.bar = folder, batch_size, None

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
            raise UserError(f"{self.folder}: the loss is not a number at step {state.global_step}; lower learning_rate")
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


if __name__ == "__main__":
    run(main, Config, __doc__)
