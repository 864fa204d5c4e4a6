"""Train a galaxy classifier and test it. To continue after an interruption, run the same command again."""

import contextlib
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers
from accelerate.utils import parse_choice_from_env
from timm.utils import unfreeze
from transformers import PrinterCallback, TrainingArguments, set_seed

from galaxy_diffusion.classifiers.class_task import ClassTask
from galaxy_diffusion.classifiers.data import GalaxyBatches, TrainingBatches, check_classes, collate
from galaxy_diffusion.classifiers.layers import parameter_groups, train_last_blocks
from galaxy_diffusion.classifiers.loss import ClassificationLoss, inverse_frequency
from galaxy_diffusion.classifiers.model import make_model, save_model
from galaxy_diffusion.classifiers.remedies import balanced_rows
from galaxy_diffusion.classifiers.stream_data import StreamedTrainingBatches
from galaxy_diffusion.classifiers.trainer import (
    Checkpoints,
    ClassifierTrainer,
    EarlyStopping,
    EndWhenTold,
    FittingOptimizer,
    Progress,
    newest_checkpoint,
)
from galaxy_diffusion.classifiers.training_images import (
    ADDED,
    TrainingImagesConfig,
    check_images,
    image_side,
    load_split,
    training_images,
)
from galaxy_diffusion.classifiers.vote_task import VoteTask
from galaxy_diffusion.shared.classifier_folder import FILES, PREDICTIONS
from galaxy_diffusion.shared.hub_target import HubConfig, check_target, push
from galaxy_diffusion.shared.image_folder import load_generated
from galaxy_diffusion.shared.machine import use_all_cores
from galaxy_diffusion.shared.run_folder import FREE, fixed_settings, same_run, write_json
from galaxy_diffusion.shared.seen_images import refuse_if_seen
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import provenance, run
from gz2_dataset.galaxy_stream import GalaxyStream
from gz2_dataset.interruption import noted_signals
from gz2_dataset.loading import stretch_of
from gz2_dataset.ranges import above, at_least, between


@dataclass
class Config(TrainingImagesConfig, HubConfig):
    """Settings of a training."""

    output_dir: Path = field(metadata=FREE)
    """Becomes the model's folder, with metrics.json, predictions.csv, validation_predictions.csv and metrics.jsonl."""
    target: Literal["classes", "votes"] = "classes"
    """What is learned of a galaxy: its class; or how many volunteers give each answer of the Galaxy Zoo 2 tree
    (Dirichlet-multinomial loss, Walmsley et al. 2022), from all galaxies with votes, those without a class too."""
    volunteers: float = field(default=40.0, metadata=above(0))
    """For target votes: how many volunteers looked at a galaxy, which the fractions in the data do not say."""
    oversampling: bool = False
    """Draw every class equally often, taking the images of a class in turn."""
    class_weights: bool = False
    """Weigh each class in the loss by the inverse of its number of images."""
    focal_gamma: float = field(default=0.0, metadata=at_least(0))
    """Exponent of the focal loss (Lin et al. 2017); 0 is cross entropy."""
    augmentations: list[Literal["geometric", "photometric", "random_erasing"]] = field(default_factory=list)
    """Augmentation on top of the flips and quarter turns that every training has."""
    mixing: Literal["none", "mixup", "cutmix", "sample_pairing"] = "none"
    """How each training image is mixed with another."""
    backbone: str = "tf_efficientnetv2_s"
    """Name of a model in timm, hf_hub:USER/NAME for weights on the Hub, such as those of Zoobot
    (hf_hub:mwalmsley/zoobot-encoder-convnext_nano), or local-dir:FOLDER."""
    model_args: dict[str, Any] = field(default_factory=dict)
    """Passed on to timm.create_model: drop_rate, embed_dim, depths, channel_multiplier, ..."""
    pretrained: bool = False
    """Start from the backbone's weights: from the Hub or its local cache, or, for tf_efficientnet_lite0 and
    tf_efficientnet_lite2, from the packages of the extra pretrained."""
    trained_blocks: int | None = field(default=None, metadata=at_least(0))
    """How many blocks before the head learn; the others keep their pretrained weights. 0 trains the head alone, None
    all."""
    layer_decay: float = field(default=1.0, metadata=above(0, 1))
    """The learning rate of each block is this times that of the block behind it; 0.75 is customary for pretrained
    weights."""
    total_images: int = field(default=128_000, metadata=at_least(1))
    """Length of the training in images seen: the same for every arm. This and the other numbers of images are rounded
    up to whole batches."""
    batch_size: int = field(default=64, metadata=at_least(1))
    """Images per step, over all processes."""
    gradient_accumulation_steps: int = field(default=1, metadata=at_least(1))
    """Number of parts in which a process works through its share of a batch; more where memory is short."""
    learning_rate: float = field(default=1e-3, metadata=above(0))
    """Learning rate of AdamW at the end of the warm-up; it then falls to 0 as a cosine."""
    warmup_images: int = field(default=6_400, metadata=at_least(0))
    """Images over which the learning rate rises from 0; 0 is no warm-up."""
    weight_decay: float = field(default=0.05, metadata=at_least(0))
    """Weight decay of AdamW; biases and normalisations have none."""
    label_smoothing: float = field(default=0.0, metadata=between(0, 1))
    """Share of the target that is spread evenly over all classes."""
    mixed_precision: Literal["no", "bf16", "fp16"] | None = None
    """Precision of the net; None leaves it to accelerate launch. bf16 works on a CPU too."""
    compile: bool = field(default=False, metadata=FREE)
    """Compile the network with torch.compile: minutes at the start, faster from then on."""
    early_stopping_patience: int = field(default=0, metadata=at_least(0))
    """Stop after this many looks at the validation split without a better macro F1 (of votes: loss), and keep the
    weights of the best; a checkpoint is then written at each look. 0 trains to the end and keeps the last weights."""
    also_classify: str | None = field(default=None, metadata=FREE)
    """Folder of generated images to classify as well, into generated_predictions.csv: a report then says whether nets
    take what is generated for the rare class."""
    log_images: int = field(default=3_200, metadata=FREE | at_least(1))
    """Images between two lines of metrics.jsonl."""
    validation_images: int = field(default=16_000, metadata=FREE | at_least(0))
    """Images between two looks at the validation split; 0 means never. They select nothing except
    where early stopping ends the training."""
    checkpoint_images: int = field(default=32_000, metadata=FREE | at_least(1))
    """Images between two checkpoints; the newest two are kept until the end."""
    num_workers: int = field(default=0, metadata=FREE | at_least(0))
    """Worker processes that prepare batches for each training process."""
    report_to: Literal["tensorboard", "trackio", "wandb"] | None = field(default=None, metadata=FREE)
    """Also log to a tracker."""


def main(config: Config) -> None:
    use_all_cores()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    args = training_arguments(config)
    folder = config.output_dir

    with args.main_process_first():
        train, validation, test = (load_split(config, split) for split in ("train", "validation", "test"))
    held_out = {"validation": validation, "test": test}
    parts = training_images(config, train, held_out)
    classified = dict(held_out)
    if config.also_classify:
        refuse_if_seen(config.also_classify, held_out)
        classified["generated"] = load_generated(
            config.also_classify, train.class_names, config.resolution, train.center_crop
        )
    images = list(parts.values())
    check_classes(config.data, images, held_out)
    task = make_task(config, train, images)
    if config.target == "votes":
        parts["unlabelled"] = load_split(config, "unlabelled")
        images = list(parts.values())
    if not len(validation):
        args.eval_strategy = "no"
        if config.early_stopping_patience:
            raise UserError(f"{config.data}: no validation split to stop by; give --early_stopping_patience 0")

    fingerprints = {name: part.fingerprint for name, part in {**parts, "real": train, "test": test}.items()}
    fingerprints["train"] = fingerprints.pop("real")
    of_data = {"center_crop": train.center_crop, "data_fingerprint": fingerprints}
    if args.process_index == 0:
        fixed = fixed_settings(config)
        same_run(folder / "settings.json", {**fixed, **of_data})
    if (folder / "metrics.json").exists():
        if args.process_index == 0:
            print(f"already finished: {folder}")
            push(config, folder, FILES, "model")
        return

    set_seed(config.seed)
    model = make_model(config.backbone, config.model_args, config.pretrained, config.resolution, task.names)
    mean, std = (model.config.pretrained_cfg[key] for key in ("mean", "std"))
    model.config.target, model.loss_function = config.target, task.loss
    if config.trained_blocks is not None:
        train_last_blocks(model.timm_model, config.trained_blocks)
    if config.compile:
        model.timm_model.compile()
    progress = Progress(folder, config.batch_size)
    patience = config.early_stopping_patience
    groups = parameter_groups(model.timm_model, config.learning_rate, config.weight_decay, config.layer_decay)
    with noted_signals() as noted, contextlib.closing(progress):
        trainer = ClassifierTrainer(
            model,
            args,
            data_collator=collate,
            train_dataset=make_batches(config, args, images, mean, std, task.targets),
            eval_dataset=GalaxyBatches([validation], mean, std, task.targets) if len(validation) else None,
            compute_metrics=task.figures,
            callbacks=[
                *(progress, FittingOptimizer(), Checkpoints(), EndWhenTold(noted)),
                *([EarlyStopping(patience)] if patience else []),
            ],
            optimizers=(torch.optim.AdamW(groups, fused=True), None),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=newest_checkpoint(folder))

    logits = {
        split: trainer.predict(GalaxyBatches([galaxies], mean, std, task.targets)).predictions
        for split, galaxies in classified.items()
        if len(galaxies)
    }
    results = task.results(test, logits["test"], parts)
    if trainer.is_world_process_zero():
        stretch = stretch_of(config.data)
        trained = trainer.accelerator.unwrap_model(trainer.model)
        unfreeze(trained.timm_model)
        save_model(trained, folder, train.center_crop, image_side(config), stretch)
        for split, its_logits in logits.items():
            task.save_predictions(folder / PREDICTIONS[split], classified[split], its_logits)
        steps = trainer.state.global_step
        results |= {
            **provenance(config),
            **of_data,
            "stretch": stretch and asdict(stretch),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "steps": steps,
            "best_step": trainer.state.best_global_step if patience else steps,
            "seconds": progress.seconds,
            "images_per_second": steps * config.batch_size / progress.seconds,
        }
        write_whole(folder / "README.md", task.card(config.hub_model_id or str(folder), results))
        write_json(folder / "metrics.json", results)
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        print(f"test: {task.summary(results)} -> {folder}")
        push(config, folder, FILES, "model")
    trainer.accelerator.end_training()


def make_task(
    config: Config, train: GalaxyArrays | GalaxyStream, images: Sequence[GalaxyArrays]
) -> ClassTask | VoteTask:
    """What is learned, how it is judged, and what is written of it."""
    if config.target == "votes":
        return VoteTask(train, config.volunteers)
    weights = inverse_frequency(sum(part.counts for part in images)) if config.class_weights else None
    return ClassTask(train.class_names, ClassificationLoss(weights, config.focal_gamma, config.label_smoothing))


def make_batches(
    config: Config,
    args: TrainingArguments,
    images: list[GalaxyArrays | GalaxyStream],
    mean: list[float],
    std: list[float],
    targets: Callable[[GalaxyArrays], np.ndarray],
) -> TrainingBatches:
    """All batches of the training, in order."""
    images_to_see = args.max_steps * config.batch_size
    if config.streaming:
        return StreamedTrainingBatches(
            images, mean, std, images_to_see, config.seed, args.world_size, config.augmentations
        )
    labels = np.concatenate([part.labels for part in images])
    rows = balanced_rows(labels, config.seed) if config.oversampling else None
    how = config.augmentations, config.mixing, targets
    return TrainingBatches(images, mean, std, images_to_see, config.seed, rows, *how)


def check_settings(config: Config) -> None:
    """Refuse settings that contradict each other or have no effect."""
    check_images(config)
    check_target(config)
    of_classes = {
        **{name: getattr(config, name) for name in (*ADDED, "augment_with", "also_classify", "oversampling")},
        "class_weights": config.class_weights,
        **{name: getattr(config, name) for name in ("focal_gamma", "label_smoothing", "streaming")},
        "mixing": config.mixing != "none",
    }
    if config.target == "votes" and (name := next((name for name, wanted in of_classes.items() if wanted), None)):
        raise UserError(f"{name} is about classes, or images that nobody has voted on; leave it out with target votes")
    of_arrays = {
        "oversampling": config.oversampling,
        "mixing": config.mixing != "none",
        "synthetic_only": config.synthetic_only,
        "match_noise": config.match_noise,
        **{name: getattr(config, name) for name in ADDED},
    }
    if config.streaming and (name := next((name for name, wanted in of_arrays.items() if wanted), None)):
        raise UserError(
            f"{name} draws from all images, but a stream gives them in its own order; give --streaming false"
        )
    if config.streaming and config.num_workers:
        raise UserError("a stream prepares images in its own threads; give --num_workers 0 with --streaming true")
    if config.trained_blocks is not None and not config.pretrained:
        raise UserError("trained_blocks freezes pretrained weights: give it with --pretrained true")
    if config.early_stopping_patience and not config.validation_images:
        raise UserError("early_stopping_patience needs the validation split; give --validation_images too")


def training_arguments(config: Config) -> TrainingArguments:
    """Arguments of `Trainer`; from here on the processes are connected."""
    on_cpu = not torch.accelerator.is_available()
    precision = config.mixed_precision or parse_choice_from_env("ACCELERATE_MIXED_PRECISION", "no")
    if precision == "fp16" and on_cpu:
        raise UserError("mixed_precision fp16 needs a GPU; take bf16 on this machine")
    check_settings(config)
    total, warmup, log, validation, checkpoint = (
        math.ceil(images / config.batch_size)
        for images in (
            config.total_images,
            config.warmup_images,
            config.log_images,
            config.validation_images,
            config.checkpoint_images,
        )
    )
    best, more_is_better = (VoteTask if config.target == "votes" else ClassTask).best
    args = TrainingArguments(
        str(config.output_dir),
        max_steps=total,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        train_sampling_strategy="sequential",
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=warmup,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=on_cpu,
        seed=config.seed,
        logging_steps=log,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if validation else "no",
        eval_steps=validation,
        save_steps=validation if config.early_stopping_patience else checkpoint,
        load_best_model_at_end=config.early_stopping_patience > 0,
        metric_for_best_model=best if config.early_stopping_patience else None,
        greater_is_better=more_is_better,
        restore_callback_states_from_checkpoint=True,
        dataloader_num_workers=config.num_workers,
        dataloader_pin_memory=not on_cpu,
        remove_unused_columns=False,
        report_to=config.report_to or "none",
        disable_tqdm=True,
    )
    args.mixed_precision = precision  # even "no" overrides accelerate launch
    parts = args.world_size * config.gradient_accumulation_steps
    if config.batch_size % parts:
        raise UserError(f"batch_size {config.batch_size} is not divisible by {parts} (processes x accumulation steps)")
    args.per_device_train_batch_size = args.per_device_eval_batch_size = config.batch_size // parts
    return args


if __name__ == "__main__":
    run(main, Config, __doc__)
