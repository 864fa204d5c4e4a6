"""Train a class-conditional SAGAN, the baseline. To continue after an interruption, run the same command again."""

import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from diffusers.training_utils import EMAModel

from galaxy_diffusion.generators.batches import Batches
from galaxy_diffusion.generators.conditioning import Conditioning
from galaxy_diffusion.generators.model_card import model_card
from galaxy_diffusion.generators.monitoring import averaged
from galaxy_diffusion.generators.sagan_augmentation import check_kinds
from galaxy_diffusion.generators.sagan_collapse import Diversity, collapsed
from galaxy_diffusion.generators.sagan_nets import SAGANConfig, finished_pipeline, make_nets
from galaxy_diffusion.generators.sagan_objective import AdversarialObjective
from galaxy_diffusion.generators.training_config import TrainingConfig
from galaxy_diffusion.generators.training_run import TrainingRun, start_accelerator
from galaxy_diffusion.sampling.seeded_images import generate_batch
from gz2_dataset import load_arrays
from gz2_dataset.command_line import run
from gz2_dataset.ranges import above, at_least, between

BETAS = (0.0, 0.9)  # of both optimisers, as in the paper


@dataclass
class Config(SAGANConfig, TrainingConfig):
    """Settings of a training; images seen are those of the discriminator. Galaxies without a class are not used."""

    ema_decay: float = field(default=0.999, metadata=between(0, 1))
    """Limit of the decay of the generator's moving average, which is what is saved and sampled."""
    mixed_precision: Literal["no", "bf16"] | None = None
    diff_augment: list[str] = field(default_factory=list)
    """Differentiable augmentation of all that the discriminator sees (Zhao et al. 2020), for few galaxies: any of
    colour, translation and cutout."""
    num_discriminator_steps: int = field(default=1, metadata=at_least(1))
    """Steps of the discriminator for each step of the generator."""
    generator_learning_rate: float = field(default=1e-4, metadata=above(0))
    """Learning rate of Adam for the generator."""
    discriminator_learning_rate: float = field(default=4e-4, metadata=above(0))
    """Learning rate of Adam for the discriminator; higher than the generator's (TTUR, Heusel et al. 2017)."""


def main(config: Config) -> None:
    check_kinds(config.diff_augment)
    accelerator = start_accelerator(config)
    with accelerator.main_process_first():
        galaxies = load_arrays(config.data, "train", config.resolution)
    batches = Batches(
        galaxies,
        None,
        config.batch_size,
        config.seed,
        num_timesteps=1,
        null_share=0.0,
        unlabelled_share=0.0,
        class_balance=config.class_balance,
        conditioning=Conditioning(galaxies.class_names),
        device=accelerator.device,
    )
    diversity = Diversity(galaxies)

    nets = make_nets(config, galaxies)
    generator, discriminator = (net.to(memory_format=torch.channels_last).train() for net in nets)
    plain = copy.deepcopy(generator)  # what the averaged weights are put into
    if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        generator = torch.nn.SyncBatchNorm.convert_sync_batchnorm(generator)
    ema = EMAModel(generator.parameters(), decay=config.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
    generators = torch.optim.Adam(generator.parameters(), config.generator_learning_rate, BETAS, fused=True)
    discriminators = torch.optim.Adam(discriminator.parameters(), config.discriminator_learning_rate, BETAS, fused=True)
    generator, discriminator, generators, discriminators = accelerator.prepare(
        generator, discriminator, generators, discriminators
    )
    objective = AdversarialObjective(accelerator, generator, discriminator, config.latent_dim, config.diff_augment)

    fingerprints = {"labelled": galaxies.fingerprint}
    parts = {"generator": generator, "generator_optimizer": generators, "ema": ema}
    parts |= {"discriminator": discriminator, "discriminator_optimizer": discriminators}
    training = TrainingRun(accelerator, parts, config, "train_sagan", fingerprints, galaxies.center_crop)
    ema.to(accelerator.device)
    for batch in training.batches(batches):
        loss, saturation = objective.of_discriminator(batch)
        accelerator.backward(loss)
        discriminators.step()
        discriminators.zero_grad(set_to_none=True)
        figures = {"saturation": saturation}
        if (training.images_seen // config.batch_size + 1) % config.num_discriminator_steps == 0:
            figures["generator_loss"] = objective.of_generator(batch)
            accelerator.backward(figures["generator_loss"])
            generators.step()
            generators.zero_grad(set_to_none=True)
            ema.step(generator.parameters())
        training.interval.add(loss, **figures)

        if due := training.count("log", "sample", "checkpoint"):
            record = training.interval.record(training.images_seen) | {"ema_decay": ema.cur_decay_value}
            if "sample" in due and accelerator.is_main_process:
                pipeline = finished_pipeline(averaged(plain, ema), galaxies, config.class_balance)
                training.save_grid(pipeline)
                record |= diversity(partial(generate_batch, pipeline), config.seed)
            training.write(record)
            if "checkpoint" in due:
                training.save_checkpoint()
            training.interval.begin()

    if training.is_to_be_saved:
        pipeline = finished_pipeline(averaged(plain, ema), galaxies, config.class_balance)
        training.record |= diversity(partial(generate_batch, pipeline), config.seed)
        found = collapsed(training.record)
        said = f"collapsed: {'; '.join(found) or 'nothing'} (lowest diversity {training.record['diversity']:.2f})"
        named, grid = (training.model_name, training.settings), training.last_grid
        options = {"kind": "gan", "findings": [said]}
        card = model_card(*named, galaxies, 0, training.record, grid, **options)
        training.save(pipeline, card, galaxies, collapsed=found, diversity=training.record["diversity"])
        accelerator.print(said)
    training.end()


if __name__ == "__main__":
    run(main, Config, __doc__)
