"""Train a class-conditional diffusion model. To go on after an interruption, run the same command again."""

import csv
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from PIL import Image
from tqdm.auto import tqdm

from galaxy_diffusion.batches import Batches, noise_like, to_model_range, turn
from galaxy_diffusion.generation import generate_batch
from galaxy_diffusion.pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.run_state import MetricsLog, load_newest, same_run, save_checkpoint, write_json
from galaxy_diffusion.schedulers import make_scheduler
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from gz2_dataset.command_line import provenance, run

# What may differ between two calls of the same run.
FREE = {"data", "output_dir", "total_images", "checkpoint_images", "sample_images", "log_images"}


@dataclass
class Config:
    """Settings of a training.

    Attributes
    ----------
    data : str
        Folder of python -m gz2_dataset build, Hub id, or a folder of images a class.
    output_dir : Path
        Becomes the pipeline's folder; holds checkpoints, samples and metrics.jsonl meanwhile.
    resolution : int
        Side of the images in pixels.
    center_crop : int
        Side in pixels of the central square kept of each original image.
    block_out_channels : list[int]
        Channels of each level of the UNet; each level but the last halves the image.
    layers_per_block : int
        Residual blocks a level.
    attention_levels : list[int]
        Levels with self-attention, 0 being the full resolution.
    attention_head_dim : int
        Channels an attention head.
    norm_num_groups : int
        Groups of the group normalisation; divides all block_out_channels.
    dropout : float
        Dropout in the residual blocks.
    prediction_type : Literal["epsilon", "v_prediction"]
        What the UNet predicts: the noise (the paper), or the velocity of Salimans & Ho 2022.
    beta_schedule : Literal["linear", "squaredcos_cap_v2"]
        Noise schedule: linear (Ho et al. 2020) or cosine (Nichol & Dhariwal 2021).
    num_train_timesteps : int
        Steps T of the diffusion.
    null_share : float
        Share of labelled images whose class is hidden, so that guidance works.
    unlabelled_share : float
        Share of images without a class in a batch, where the data has any; they train the null class.
    class_balance : float
        Share of labelled images that are drawn class by class instead of as they come.
    total_images : int
        Length of the training in images seen.
    batch_size : int
        Images a step over all processes.
    learning_rate : float
        Of AdamW, after the warm-up.
    warmup_images : int
        Images over which the learning rate rises from 0.
    max_grad_norm : float
        Gradients are scaled down to this norm.
    ema_decay : float
        Limit of the decay of the weights' moving average, which is what is saved and sampled.
    mixed_precision : Literal["no", "bf16", "fp16"] | None
        Precision of the UNet; None leaves it to accelerate launch.
    seed : int
        Everything random follows from it and the number of images seen.
    log_images : int
        Images between two lines of metrics.jsonl.
    sample_images : int
        Images between two sample grids in samples/.
    checkpoint_images : int
        Images between two checkpoints.
    """

    data: str
    output_dir: Path
    resolution: int = 32
    center_crop: int = 224
    block_out_channels: list[int] = field(default_factory=lambda: [32, 64, 96])
    layers_per_block: int = 1
    attention_levels: list[int] = field(default_factory=lambda: [2])
    attention_head_dim: int = 32
    norm_num_groups: int = 8
    dropout: float = 0.0
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon"
    beta_schedule: Literal["linear", "squaredcos_cap_v2"] = "linear"
    num_train_timesteps: int = 1000
    null_share: float = 0.1
    unlabelled_share: float = 0.25
    class_balance: float = 0.0
    total_images: int = 1_000_000
    batch_size: int = 64
    learning_rate: float = 2e-4
    warmup_images: int = 10_000
    max_grad_norm: float = 1.0
    ema_decay: float = 0.9999
    mixed_precision: Literal["no", "bf16", "fp16"] | None = None
    seed: int = 0
    log_images: int = 1_000
    sample_images: int = 20_000
    checkpoint_images: int = 10_000


def main(config: Config) -> None:
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    if config.batch_size % accelerator.num_processes:
        raise UserError(f"batch_size {config.batch_size} does not divide by {accelerator.num_processes} processes")
    set_seed(config.seed)

    with accelerator.main_process_first():
        labelled, unlabelled = (
            load_arrays(config.data, split, config.resolution, config.center_crop) for split in ("train", "unlabelled")
        )
    batches = Batches(
        labelled,
        unlabelled,
        config.batch_size,
        config.seed,
        config.num_train_timesteps,
        config.null_share,
        config.unlabelled_share,
        config.class_balance,
    )
    same = {k: v for k, v in provenance(config)["config"].items() if k not in FREE}
    fingerprints = {"labelled": labelled.fingerprint, "unlabelled": unlabelled.fingerprint}
    if accelerator.is_main_process:
        same_run(config.output_dir / "settings.json", {**same, "data_fingerprint": fingerprints})

    unet = make_unet(config, num_classes=len(labelled.class_names))
    ema = EMAModel(unet.parameters(), decay=config.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=config.learning_rate, fused=True)
    noise_scheduler = DDPMScheduler(
        config.num_train_timesteps, beta_schedule=config.beta_schedule, prediction_type=config.prediction_type
    )
    unet, optimizer = accelerator.prepare(unet, optimizer)
    accelerator.register_for_checkpointing(ema)
    images_seen = load_newest(accelerator, config.output_dir / "checkpoints")
    ema.to(accelerator.device)

    log = MetricsLog(config.output_dir / "metrics.jsonl", images_seen) if accelerator.is_main_process else None
    seconds_before = log.last.get("seconds", 0.0) if log else 0.0
    started, first = time.monotonic(), images_seen
    bar = tqdm(
        total=config.total_images,
        initial=images_seen,
        desc="train",
        unit="image",
        disable=not accelerator.is_main_process,
    )
    loss_sum, steps = torch.zeros((), device=accelerator.device), 0
    unet.train()
    while images_seen < config.total_images:
        batch = batches.at(images_seen, accelerator.process_index, accelerator.num_processes)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, (images_seen + config.batch_size) / config.warmup_images)
        torch.manual_seed(batch.noise_seeds[0])  # dropout follows the images seen as well

        clean = turn(to_model_range(batch.images, accelerator.device), batch.symmetry.to(accelerator.device))
        noise = noise_like(clean, batch.noise_seeds)
        timesteps = batch.timesteps.to(accelerator.device)
        noisy = noise_scheduler.add_noise(clean, noise, timesteps)
        if config.prediction_type == "v_prediction":
            target = noise_scheduler.get_velocity(clean, noise, timesteps)
        else:
            target = noise
        prediction = unet(noisy, timesteps, batch.labels.to(accelerator.device), return_dict=False)[0]
        loss = (prediction.float() - target).square().mean()  # eq. 19
        accelerator.backward(loss)
        gradient_norm = accelerator.clip_grad_norm_(unet.parameters(), config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.step(unet.parameters())

        before, images_seen = images_seen, images_seen + config.batch_size
        loss_sum, steps = loss_sum + loss.detach(), steps + 1
        bar.update(config.batch_size)
        span = (before, images_seen, config.total_images)
        if due(config.log_images, *span) or due(config.checkpoint_images, *span):
            mean_loss = float(accelerator.reduce(loss_sum, "mean")) / steps
            if mean_loss != mean_loss:
                raise UserError(
                    f"{config.output_dir}: the loss is not a number after {images_seen} images; lower "
                    "learning_rate or use mixed_precision bf16; the last checkpoint is from before"
                )
            loss_sum, steps = torch.zeros_like(loss_sum), 0
            elapsed = time.monotonic() - started
            if log:
                bar.set_postfix(loss=f"{mean_loss:.4f}")
                log.write(
                    images_seen=images_seen,
                    loss=mean_loss,
                    gradient_norm=float(gradient_norm),
                    ema_decay=ema.cur_decay_value,
                    images_per_second=(images_seen - first) / elapsed,
                    seconds=seconds_before + elapsed,
                )
        if due(config.sample_images, *span) and accelerator.is_main_process:
            pipeline = make_pipeline(accelerator.unwrap_model(unet), ema, noise_scheduler, labelled.class_names)
            save_grid(pipeline, config.output_dir / "samples" / f"{images_seen:012d}.png", config.seed)
            ema.restore(accelerator.unwrap_model(unet).parameters())
        if due(config.checkpoint_images, *span):
            save_checkpoint(accelerator, config.output_dir / "checkpoints", images_seen)
    bar.close()

    whole = (config.output_dir / "model_index.json").exists()
    if accelerator.is_main_process and (images_seen > first or not whole):
        pipeline = make_pipeline(accelerator.unwrap_model(unet), ema, noise_scheduler, labelled.class_names)
        save_seen_images(config.output_dir / "seen_images.csv", labelled, unlabelled)
        save_pipeline(pipeline, config.output_dir)
        seconds = seconds_before + time.monotonic() - started
        results = {"data_fingerprint": fingerprints, "seconds": seconds, "images_seen": images_seen}
        write_json(config.output_dir / "run.json", {**provenance(config), **results})
    accelerator.print(f"model: {config.output_dir}")
    accelerator.end_training()


def due(every: int, before: int, now: int, end: int) -> bool:
    """Whether the step from ``before`` to ``now`` images has passed a multiple of ``every``, or the end."""
    return now >= end or before // every != now // every


def make_unet(config: Config, num_classes: int) -> UNet2DModel:
    """The paper's noise predictor: features scaled and shifted, channel by channel, by the time and class embedding."""
    levels = len(config.block_out_channels)
    if config.resolution % 2 ** (levels - 1):
        raise UserError(
            f"resolution {config.resolution} cannot be halved {levels - 1} times; take fewer block_out_channels"
        )
    attention = [level in config.attention_levels for level in range(levels)]
    return UNet2DModel(
        sample_size=config.resolution,
        block_out_channels=tuple(config.block_out_channels),
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attention),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
        layers_per_block=config.layers_per_block,
        attention_head_dim=config.attention_head_dim,
        norm_num_groups=config.norm_num_groups,
        dropout=config.dropout,
        resnet_time_scale_shift="scale_shift",
        num_class_embeds=num_classes + 1,
    ).to(memory_format=torch.channels_last)


def make_pipeline(
    unet: UNet2DModel, ema: EMAModel, scheduler: DDPMScheduler, class_names: tuple[str, ...]
) -> ClassConditionalDDPMPipeline:
    """A pipeline around ``unet`` with its averaged weights; ``ema.restore`` brings the others back."""
    ema.store(unet.parameters())
    ema.copy_to(unet.parameters())
    return ClassConditionalDDPMPipeline(unet, scheduler, dict(enumerate(class_names)))


def save_grid(pipeline: ClassConditionalDDPMPipeline, path: Path, seed: int, columns: int = 8) -> None:
    """Draw the same noise for every class: a row a class."""
    pipeline.unet.eval()
    sampler = make_scheduler("dpmsolver++", pipeline.scheduler)
    sampler = ClassConditionalDDPMPipeline(pipeline.unet, sampler, pipeline.config.id2label)
    sampler.set_progress_bar_config(disable=True)
    labels = [label for label in range(len(pipeline.class_names)) for _ in range(columns)]
    images = generate_batch(sampler, labels, [seed + i % columns for i in range(len(labels))], 2.0, 25)
    pipeline.unet.train()
    side = images.shape[1]
    grid = images.reshape(-1, columns, side, side, 3).transpose(0, 2, 1, 3, 4).reshape(-1, columns * side, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid).save(path)


def save_seen_images(path: Path, *splits: GalaxyArrays) -> None:
    """What the generator saw, by which others refuse to judge it on the same galaxies."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "sha256"])
        for split in splits:
            writer.writerows(zip(split.image_ids, split.digests, strict=True))


def save_pipeline(pipeline: ClassConditionalDDPMPipeline, folder: Path) -> None:
    """Save aside and rename, model_index.json last: where it is, the model is whole."""
    aside = folder / ".pipeline"
    shutil.rmtree(aside, ignore_errors=True)
    pipeline.save_pretrained(aside)
    for entry in sorted(aside.iterdir(), key=lambda entry: entry.name == "model_index.json"):
        if (folder / entry.name).is_dir():
            shutil.rmtree(folder / entry.name)
        entry.replace(folder / entry.name)
    aside.rmdir()


if __name__ == "__main__":
    run(main, Config, __doc__)
