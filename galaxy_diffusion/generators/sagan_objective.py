"""What SAGAN's nets are trained on: the hinge losses, with each image's latents and augmentations from its own seed."""

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch.nn.functional import relu

from galaxy_diffusion.generators.batches import Batch, to_model_range
from galaxy_diffusion.generators.sagan_augmentation import augment
from galaxy_diffusion.shared.noise import noise_like
from galaxy_diffusion.shared.symmetry import turn

GENERATORS_TURN, OF_GENERATED = 2**30, 2**31
"""The bits in which the seeds of the generator's step, and of the augmentation of generated images, differ from an
image's seed."""


def discriminator_loss(real: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    """Mean of max(0, 1 - D(x)) over real and of max(0, 1 + D(G(z))) over generated images (Lim & Ye 2017)."""
    return relu(1 - real).mean() + relu(1 + generated).mean()


def generator_loss(generated: torch.Tensor) -> torch.Tensor:
    """Mean of -D(G(z))."""
    return -generated.mean()


def saturation(real: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    """Share of the images on which the discriminator is sure, so that it learns nothing from them."""
    return torch.cat([real > 1, generated < -1]).float().mean()


@dataclass(frozen=True)
class AdversarialObjective:
    """The two losses of a batch; the latents of a step have the classes of the batch's galaxies.

    Attributes
    ----------
    accelerator : Accelerator
    generator, discriminator : Module
        As the accelerator has prepared them.
    latent_dim : int
    augmentations : list of str
        See `sagan_augmentation.augment`.
    """

    accelerator: Accelerator
    generator: torch.nn.Module
    discriminator: torch.nn.Module
    latent_dim: int
    augmentations: list[str]

    def of_discriminator(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and `saturation`; only the discriminator gets gradients."""
        device = self.accelerator.device
        labels = batch.labels.to(device)
        with torch.no_grad(), self.accelerator.autocast():
            generated = self._unwrapped(self.generator)(self._latents(batch.noise_seeds), labels).float()
        real = turn(to_model_range(batch.images, device), batch.symmetry.to(device))
        both = torch.cat(
            [augment(real, self.augmentations, batch.noise_seeds), self._augment_generated(generated, batch)]
        )
        scores = self.discriminator(both, labels.repeat(2)).float().chunk(2)
        return discriminator_loss(*scores), saturation(*scores).detach()

    def of_generator(self, batch: Batch) -> torch.Tensor:
        """Loss on latents that the discriminator has not been trained on; only the generator gets gradients."""
        labels = batch.labels.to(self.accelerator.device)
        judge = self._unwrapped(self.discriminator).requires_grad_(False)
        images = self.generator(self._latents(batch.noise_seeds ^ GENERATORS_TURN), labels).float()
        with self.accelerator.autocast():
            loss = generator_loss(judge(self._augment_generated(images, batch), labels).float())
        judge.requires_grad_(True)
        return loss

    def _augment_generated(self, images: torch.Tensor, batch: Batch) -> torch.Tensor:
        return augment(images, self.augmentations, batch.noise_seeds ^ OF_GENERATED)

    def _latents(self, seeds: torch.Tensor) -> torch.Tensor:
        return noise_like(torch.empty(len(seeds), self.latent_dim, device=self.accelerator.device), seeds)

    def _unwrapped(self, net: torch.nn.Module) -> torch.nn.Module:
        """The module without the wrapper that exchanges gradients between processes."""
        return self.accelerator.unwrap_model(net)
