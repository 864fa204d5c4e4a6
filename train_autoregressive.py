"""Train a class-conditional autoregressive model, a baseline. To continue after an interruption, run it again."""

import copy
from dataclasses import dataclass, field

import torch
from diffusers.training_utils import EMAModel

from galaxy_diffusion.generators.autoregressive import (
    AutoregressiveConfig,
    autoencoder_loss,
    code_loss,
    encode,
    finished_pipeline,
    make_nets,
    revive_codes,
)
from galaxy_diffusion.generators.batches import Batches
from galaxy_diffusion.generators.conditioning import Conditioning
from galaxy_diffusion.generators.learning_rate import LearningRateConfig, learning_rate_at
from galaxy_diffusion.generators.model_card import model_card
from galaxy_diffusion.generators.monitoring import averaged
from galaxy_diffusion.generators.objective import standardized
from galaxy_diffusion.generators.training_config import TrainingConfig
from galaxy_diffusion.generators.training_run import TrainingRun, start_accelerator
from galaxy_diffusion.generators.vae import standardized_patches
from gz2_dataset import UserError, load_arrays
from gz2_dataset.command_line import run
from gz2_dataset.ranges import above, at_least, between

REVIVAL_STEPS = 50
"""Steps between two revivals of unused codes, in the first half of the autoencoder's training."""


@dataclass
class Config(AutoregressiveConfig, LearningRateConfig, TrainingConfig):
    """Settings of a training: first of the autoencoder, then of the transformer, each with warm-up and cool-down."""

    autoencoder_images: int = field(default=400_000, metadata=at_least(1))
    """Images after which the codes are frozen and the transformer learns their order."""
    unlabelled_share: float = field(default=0.25, metadata=between(0, 1))
    """Share of images without a class in a batch, where the data has any."""
    learning_rate: float = field(default=1e-3, metadata=above(0))
    ema_decay: float = field(default=0.999, metadata=between(0, 1))
    """Limit of the decay of the transformer's moving average, which is what is saved and sampled."""


def main(config: Config) -> None:
    if config.autoencoder_images >= config.total_images:
        raise UserError(
            f"autoencoder_images {config.autoencoder_images}: leaves none of total_images {config.total_images} to the "
            "transformer"
        )
    accelerator = start_accelerator(config)
    device = accelerator.device
    with accelerator.main_process_first():
        labelled, unlabelled = (load_arrays(config.data, split, config.resolution) for split in ("train", "unlabelled"))
    conditioning = Conditioning(labelled.class_names)
    batches = Batches(
        labelled,
        unlabelled,
        config.batch_size,
        config.seed,
        num_timesteps=1,
        null_share=0.0,
        unlabelled_share=config.unlabelled_share,
        class_balance=config.class_balance,
        conditioning=conditioning,
        device=device,
    )
    image_format = standardized(batches, config.patch_size)

    vqvae, transformer = (net.train() for net in make_nets(config, config.resolution, len(conditioning.row_names)))
    plain = copy.deepcopy(transformer)  # what the averaged weights are put into
    ema = EMAModel(transformer.parameters(), decay=config.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
    nets = accelerator.prepare(vqvae, transformer)
    optimizers = [accelerator.prepare(torch.optim.AdamW(net.parameters(), fused=True)) for net in nets]

    fingerprints = {"labelled": labelled.fingerprint, "unlabelled": unlabelled.fingerprint}
    parts = {"vqvae": nets[0], "transformer": nets[1], "ema": ema}
    parts |= {"vqvae_optimizer": optimizers[0], "transformer_optimizer": optimizers[1]}
    training = TrainingRun(accelerator, parts, config, "train_autoregressive", fingerprints, labelled.center_crop)
    ema.to(device)
    for batch in training.batches(batches):
        patches, labels = standardized_patches(batch, image_format, device), batch.labels.to(device)
        torch.manual_seed(int(batch.noise_seeds[0]))  # dropout follows the images seen as well
        stage = int(training.images_seen >= config.autoencoder_images)
        begin, end = ((0, config.autoencoder_images), (config.autoencoder_images, config.total_images))[stage]
        net, optimizer, seen = nets[stage], optimizers[stage], training.images_seen - begin
        if stage == 0:
            if seen // config.batch_size % REVIVAL_STEPS == 0 and 2 * seen < end:
                revive_codes(accelerator, vqvae, patches, config.seed + seen)
            loss, figures = autoencoder_loss(net, patches)
        else:
            loss, figures = code_loss(net, encode(vqvae, patches)[1], labels, config.num_codes)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(seen, seen + config.batch_size, end - begin, config)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(net.parameters(), config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if stage == 1:
            ema.step(net.parameters())
        training.interval.add(loss, **figures)

        if due := training.count("log", "sample", "checkpoint"):
            training.write(training.interval.record(training.images_seen))
            if "sample" in due and stage == 1 and accelerator.is_main_process:
                pipeline = finished_pipeline(vqvae, averaged(plain, ema), labelled.class_names, image_format)
                training.save_grid(pipeline)
            if "checkpoint" in due:
                training.save_checkpoint()
            training.interval.begin()

    if training.is_to_be_saved:
        pipeline = finished_pipeline(vqvae, averaged(plain, ema), labelled.class_names, image_format)
        named, grid = (training.model_name, training.settings), training.last_grid
        card = model_card(*named, labelled, len(unlabelled), training.record, grid, kind="autoregressive")
        training.save(pipeline, card, labelled, unlabelled)
    training.end()


if __name__ == "__main__":
    run(main, Config, __doc__)
