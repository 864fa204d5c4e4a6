"""Train a class-conditional diffusion model. To continue after an interruption, run the same command again."""

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import yaml
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel

from galaxy_diffusion.generators.batches import Batches, BatchSource
from galaxy_diffusion.generators.conditioning import Conditioning, learn_votes
from galaxy_diffusion.generators.cost import cost_of, describe, measure_throughput
from galaxy_diffusion.generators.cuda_graph import GraphedGradient
from galaxy_diffusion.generators.fine_tuning import ADAPTER, Parent, add_lora, load_parent, save_adapter
from galaxy_diffusion.generators.learning_rate import LearningRateConfig, learning_rate_at
from galaxy_diffusion.generators.micro_batch import backward, find_micro_batch
from galaxy_diffusion.generators.model_card import model_card
from galaxy_diffusion.generators.model_folder import make_pipeline
from galaxy_diffusion.generators.monitoring import ValidationLoss, averaged
from galaxy_diffusion.generators.objective import Objective, make_noise_scheduler, standardized
from galaxy_diffusion.generators.stream_batches import StreamedBatches
from galaxy_diffusion.generators.training_config import TrainingConfig
from galaxy_diffusion.generators.training_run import TrainingRun, start_accelerator
from galaxy_diffusion.generators.unet import UNetConfig, make_unet
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from galaxy_diffusion.shared.run_folder import FREE
from galaxy_diffusion.shared.seen_images import FILE as SEEN_FILE
from galaxy_diffusion.shared.seen_images import file_of_model, refuse_if_seen
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from gz2_dataset.command_line import provenance, run
from gz2_dataset.galaxy_stream import GalaxyStream
from gz2_dataset.ranges import above, at_least, between
from gz2_dataset.splits import RESERVE
from gz2_dataset.streaming import load_stream

MOST_LEFT_OUT = 0.1
"""A training is lost when the gradient is not a number in more than this share of its steps."""


@dataclass
class Config(UNetConfig, LearningRateConfig, TrainingConfig):
    """Settings of a training."""

    resolution: int | None = field(default=None, metadata=between(1, 4096))
    """Side of the images in pixels; None takes that of init_from, or 32 without one."""
    streaming: bool = False
    """Read the galaxies from the Hub as they are needed, without a local copy; class_balance must be 0."""
    standardize: bool = False
    """Shift and scale the pixels so that the training images, which are faint, have mean 0 and standard deviation 1;
    the pipeline scales back what it generates."""
    conditioning: Literal["class", "votes"] = "class"
    """What the net is told about a galaxy: its class, or the 37 vote fractions of Galaxy Zoo 2."""
    init_from: str | None = None
    """Model to start from: a pipeline folder, a Hub id, or galaxies-64, which comes with the project. Its net and noise
    levels replace patch_size, standardize, the fields from block_out_channels to norm_num_groups, and those from
    prediction_type to num_train_timesteps. Classes that it knows by name are kept; others are new to it."""
    lora_rank: int = field(default=0, metadata=at_least(0))
    """Above 0, the net of init_from is frozen; only LoRA matrices of this rank and the class table are learned. The
    model is saved with them merged into it, and in the subfolder lora they are saved alone, in the format of peft."""
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    """What the UNet predicts: the noise (the paper), the image, or the velocity of Salimans & Ho 2022."""
    beta_schedule: Literal["linear", "squaredcos_cap_v2"] = "linear"
    """Noise schedule: linear (Ho et al. 2020) or cosine (Nichol & Dhariwal 2021)."""
    zero_terminal_snr: bool = False
    """Rescale the schedule so that it ends in pure noise (Lin et al. 2024)."""
    noise_shift: float = field(default=1.0, metadata=above(0))
    """Multiplies the largest noise levels, which decide shapes, and leaves the smallest, which decide the sky: for
    example an eighth of the resolution (Hoogeboom et al. 2023)."""
    num_train_timesteps: int = field(default=1000, metadata=between(1, 100_000))
    """Steps T of the diffusion."""
    min_snr_gamma: float = field(default=0.0, metadata=at_least(0))
    """Weight noise levels by min(SNR, this) (Hang et al. 2023, who take 5); 0 weights all equally.
    """
    input_perturbation: float = field(default=0.0, metadata=at_least(0))
    """Additional noise that the net sees but does not predict (Ning et al. 2023, who take 0.1)."""
    null_share: float = field(default=0.1, metadata=between(0, 1))
    """Share of labelled images whose class is hidden, so that guidance works."""
    unlabelled_share: float = field(default=0.25, metadata=between(0, 1))
    """Share of images without a class in a batch, where the data has any; they train the null class."""
    gradient_accumulation_steps: int = field(default=1, metadata=FREE | at_least(1))
    """Number of pieces in which a process works through its share of a batch; more are taken where the memory of a
    GPU is short."""
    gradient_checkpointing: bool = field(default=False, metadata=FREE)
    """Compute activations twice instead of keeping them: a third slower, a fraction of the memory."""
    compile: bool = field(default=False, metadata=FREE)
    """Compile the UNet with torch.compile: minutes at the start, faster from then on."""
    cuda_graph: bool = field(default=False, metadata=FREE)
    """Launch each step as a whole where there is one GPU: faster where its host is slow or the net is small. Has no
    effect on a CPU, on several GPUs, with fp16, or where the batch is worked through in pieces."""
    validation_images: int = field(default=0, metadata=FREE | at_least(0))
    """Images between two measurements of each class's loss on the validation split; 0 means never."""
    dry_run: bool = field(default=False, metadata=FREE)
    """Print the settings and what the training will cost, then stop."""


def main(config: Config) -> None:
    accelerator = start_accelerator(config)
    device, rank, processes = accelerator.device, accelerator.process_index, accelerator.num_processes
    parent = load_parent(config.init_from) if config.init_from else None
    config = replace(config, resolution=config.resolution or (parent.resolution if parent else 32))
    with accelerator.main_process_first():
        labelled, unlabelled, validation = (
            (load_stream if config.streaming else load_arrays)(config.data, split, config.resolution)
            for split in ("train", "unlabelled", "validation")
        )
        seen_before = file_of_model(parent.model, SEEN_FILE) if parent else None
        if seen_before:
            test, reserve = (
                (load_stream if config.streaming else load_arrays)(config.data, split, config.resolution)
                for split in ("test", RESERVE)
            )
            refuse_if_seen(parent.model, {"validation": validation, "test": test, RESERVE: reserve})
    conditioning = Conditioning(labelled.class_names, config.conditioning)
    batches = make_batches(config, labelled, unlabelled, conditioning, device)
    unet, noise_scheduler, image_format = make_net(config, parent, conditioning, batches)
    objective = Objective(noise_scheduler, config.min_snr_gamma, config.input_perturbation, image_format)
    if config.validation_images:
        held_out = validation.to_arrays() if config.streaming else validation
        validation_loss = ValidationLoss(held_out, objective, conditioning, config.seed)
    plain = copy.deepcopy(unet)  # what the averaged weights are put into
    if config.compile:
        unet.compile()
    ema = EMAModel(unet.parameters(), decay=config.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
    trained = [weight for weight in unet.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, fused=True)
    unet, optimizer = accelerator.prepare(unet, optimizer)
    first_batch, share = batches.at(0, rank, processes), config.batch_size // processes
    micro_batch = math.ceil(share / config.gradient_accumulation_steps)
    if config.dry_run:
        accelerator.print(yaml.safe_dump(provenance(config)["config"], sort_keys=False))
        speed = processes * measure_throughput(unet, objective, first_batch.parts(micro_batch)[0], device)
        half = accelerator.mixed_precision != "no"
        needs = cost_of(plain, first_batch.labels[:1])
        accelerator.print(describe(needs, speed, config.total_images, micro_batch, half, f"{processes} x {device}"))
        return

    fingerprints = {"labelled": labelled.fingerprint, "unlabelled": unlabelled.fingerprint}
    parts = {"unet": unet, "optimizer": optimizer, "ema": ema}
    training = TrainingRun(accelerator, parts, config, "train_ddpm", fingerprints, labelled.center_crop)
    ema.to(device)
    unet.train()
    micro_batch = find_micro_batch(accelerator, unet, optimizer, objective, first_batch, micro_batch)
    one_piece = processes == 1 and micro_batch == share and accelerator.mixed_precision != "fp16"
    with_graph = config.cuda_graph and device.type == "cuda" and one_piece
    graph = GraphedGradient(unet, objective, first_batch, device) if with_graph else None
    for batch in training.batches(batches):
        span = (training.images_seen, training.images_seen + config.batch_size, config.total_images)
        learning_rate = learning_rate_at(*span, config)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        loss = graph(batch) if graph else backward(accelerator, unet, objective, batch, micro_batch)
        gradient_norm = accelerator.clip_grad_norm_(trained, config.max_grad_norm)
        left_out = (~gradient_norm.isfinite()).float()
        training.interval.add(loss, left_out=left_out)
        if accelerator.mixed_precision != "fp16":  # its gradient scaler skips such steps by itself
            optimizer.optimizer.found_inf = left_out
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.step(unet.parameters())

        if due := training.count("log", "validation", "sample", "checkpoint"):
            record = training.interval.record(training.images_seen) | {
                "gradient_norm": float(gradient_norm),
                "learning_rate": learning_rate,
                "ema_decay": ema.cur_decay_value,
            }
            if record["left_out"] > MOST_LEFT_OUT and accelerator.mixed_precision != "fp16":
                raise UserError(
                    f"the gradient is not a number in {record['left_out']:.0%} of the steps before image "
                    f"{training.images_seen}; lower learning_rate, or continue from an earlier checkpoint"
                )
            if "validation" in due:
                record |= validation_loss(accelerator, averaged(plain, ema), micro_batch)
            training.write(record)
            if "sample" in due and accelerator.is_main_process:
                pipeline = make_pipeline(averaged(plain, ema), noise_scheduler, image_format, labelled)
                with accelerator.autocast():
                    training.save_grid(pipeline)
            if "checkpoint" in due:
                training.save_checkpoint()
            training.interval.begin()

    if training.is_to_be_saved:
        pipeline = make_pipeline(averaged(plain, ema), noise_scheduler, image_format, labelled)
        name, settings, grid = training.model_name, training.settings, training.last_grid
        card = model_card(name, settings, labelled, len(unlabelled), training.record, grid)
        if config.lora_rank:
            save_adapter(plain, ema, config.lora_rank, config.init_from, config.output_dir / ADAPTER)
        training.save(pipeline, card, labelled, unlabelled, parent=seen_before)
    training.end()


def make_batches(
    config: Config,
    labelled: GalaxyArrays | GalaxyStream,
    unlabelled: GalaxyArrays | GalaxyStream,
    conditioning: Conditioning,
    device: torch.device,
) -> BatchSource:
    """What each step learns from: functions of (seed, images seen)."""
    return (StreamedBatches if config.streaming else Batches)(
        labelled,
        unlabelled,
        batch_size=config.batch_size,
        seed=config.seed,
        num_timesteps=config.num_train_timesteps,
        null_share=config.null_share,
        unlabelled_share=config.unlabelled_share,
        class_balance=config.class_balance,
        conditioning=conditioning,
        device=device,
    )


def make_net(
    config: Config, parent: Parent | None, conditioning: Conditioning, batches: BatchSource
) -> tuple[UNet2DModel, DDPMScheduler, ImageFormat]:
    """The net to be trained, the noise levels that it learns, and the format in which it sees images."""
    if parent:
        noise_scheduler, image_format = parent.noise_scheduler, parent.image_format
        unet = parent.net_for(conditioning.row_names, config.resolution, config.dropout)
    else:
        noise_scheduler = make_noise_scheduler(
            config.beta_schedule,
            config.num_train_timesteps,
            config.prediction_type,
            config.zero_terminal_snr,
            config.noise_shift,
            clip_sample=not config.standardize,
        )
        image_format = ImageFormat(patch_size=config.patch_size)
        if config.standardize:
            image_format = standardized(batches, config.patch_size)
        unet = make_unet(config, config.resolution, len(conditioning.row_names))
    if config.conditioning == "votes":
        learn_votes(unet)
    if config.lora_rank:
        add_lora(unet, config.lora_rank, config.init_from)
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    return unet.to(memory_format=torch.channels_last), noise_scheduler, image_format


if __name__ == "__main__":
    run(main, Config, __doc__)
