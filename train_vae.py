"""Train a class-conditional VAE, a baseline. To continue after an interruption, run the same command again."""

import copy
from dataclasses import dataclass, field

import torch
from diffusers.training_utils import EMAModel

from galaxy_diffusion.generators.batches import Batches
from galaxy_diffusion.generators.conditioning import Conditioning
from galaxy_diffusion.generators.learning_rate import LearningRateConfig, learning_rate_at
from galaxy_diffusion.generators.model_card import model_card
from galaxy_diffusion.generators.monitoring import averaged
from galaxy_diffusion.generators.objective import standardized
from galaxy_diffusion.generators.training_config import TrainingConfig
from galaxy_diffusion.generators.training_run import TrainingRun, start_accelerator
from galaxy_diffusion.generators.vae import VAEConfig, finished_pipeline, make_vae, standardized_patches
from galaxy_diffusion.shared.noise import noise_like
from gz2_dataset import load_arrays
from gz2_dataset.command_line import run
from gz2_dataset.ranges import above, at_least, between

PRIORS_RATE = 10.0
"""Learning rate of the class priors, in units of that of the nets: their parameters have further to go."""


@dataclass
class Config(VAEConfig, LearningRateConfig, TrainingConfig):
    """Settings of a training."""

    kl_weight: float = field(default=1.0, metadata=at_least(0))
    """Weight of the latents' divergence from the prior of their class: 1 gives the bound on the likelihood; larger
    values make generated images more like reconstructed ones, and both smoother."""
    unlabelled_share: float = field(default=0.25, metadata=between(0, 1))
    """Share of images without a class in a batch, where the data has any; they have their own prior."""
    learning_rate: float = field(default=1e-3, metadata=above(0))
    ema_decay: float = field(default=0.999, metadata=between(0, 1))


def main(config: Config) -> None:
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

    net = make_vae(config, config.resolution, len(conditioning.row_names)).train()
    latent_shape = net.prior.mean.shape[1:]
    plain = copy.deepcopy(net)  # what the averaged weights are put into
    ema = EMAModel(net.parameters(), decay=config.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
    groups = [{"params": list(part.parameters())} for part in (net.vae, net.prior)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
    net, optimizer = accelerator.prepare(net, optimizer)

    fingerprints = {"labelled": labelled.fingerprint, "unlabelled": unlabelled.fingerprint}
    parts = {"net": net, "optimizer": optimizer, "ema": ema}
    training = TrainingRun(accelerator, parts, config, "train_vae", fingerprints, labelled.center_crop)
    ema.to(device)
    for batch in training.batches(batches):
        span = (training.images_seen, training.images_seen + config.batch_size, config.total_images)
        learning_rate = learning_rate_at(*span, config)
        for group, times in zip(optimizer.param_groups, (1.0, PRIORS_RATE), strict=True):
            group["lr"] = times * learning_rate
        patches, labels = standardized_patches(batch, image_format, device), batch.labels.to(device)
        noise = noise_like(torch.empty(len(labels), *latent_shape, device=device), batch.noise_seeds)
        error, misfit, rate = (values.mean() for values in net(patches, labels, noise))
        # With one variance for all pixels, the best one, this is the bound on the likelihood (Rybkin et al. 2021).
        loss = error.log() / 2 + config.kl_weight * rate / patches[0].numel() + misfit
        accelerator.backward(loss)
        gradient_norm = accelerator.clip_grad_norm_(net.parameters(), config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.step(net.parameters())
        training.interval.add(loss, error=error, misfit=misfit, rate=rate, gradient_norm=gradient_norm)

        if due := training.count("log", "sample", "checkpoint"):
            record = training.interval.record(training.images_seen) | {"ema_decay": ema.cur_decay_value}
            training.write(record)
            if "sample" in due and accelerator.is_main_process:
                pipeline = finished_pipeline(averaged(plain, ema), labelled.class_names, image_format)
                training.save_grid(pipeline)
            if "checkpoint" in due:
                training.save_checkpoint()
            training.interval.begin()

    if training.is_to_be_saved:
        pipeline = finished_pipeline(averaged(plain, ema), labelled.class_names, image_format)
        named, grid = (training.model_name, training.settings), training.last_grid
        card = model_card(*named, labelled, len(unlabelled), training.record, grid, kind="vae")
        training.save(pipeline, card, labelled, unlabelled)
    training.end()


if __name__ == "__main__":
    run(main, Config, __doc__)
