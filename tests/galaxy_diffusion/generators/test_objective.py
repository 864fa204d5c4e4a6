"""Targets, weights and schedules, against their formulas."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from galaxy_diffusion.generators.batches import Batch, to_model_range
from galaxy_diffusion.generators.objective import Objective, make_noise_scheduler, standardized
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from galaxy_diffusion.shared.noise import noise_like
from gz2_dataset import UserError

CPU = torch.device("cpu")
TYPES = ("epsilon", "sample", "v_prediction")


def some_batch(size: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        torch.randint(256, (size, 8, 8, 3), generator=generator, dtype=torch.uint8),
        torch.zeros(size, dtype=torch.int64),
        torch.zeros(size, dtype=torch.int64),
        torch.arange(size) * 180 + 5,
        torch.arange(size),
    )


class Knowing(torch.nn.Module):
    """Computes noise, image or velocity from the noisy image, because it knows the clean one."""

    def __init__(self, clean: torch.Tensor, scheduler: DDPMScheduler):
        super().__init__()
        self.clean, self.scheduler = clean, scheduler

    def forward(self, noisy, timesteps, labels, return_dict):
        alpha = self.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        noise = (noisy - alpha.sqrt() * self.clean) / (1 - alpha).sqrt()
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * self.clean
        return (
            {"epsilon": noise, "sample": self.clean, "v_prediction": velocity}[self.scheduler.config.prediction_type],
        )


@pytest.mark.parametrize("prediction_type", TYPES)
def test_a_net_that_knows_the_image_has_no_loss(prediction_type):
    scheduler = make_noise_scheduler("linear", 1000, prediction_type)
    batch = some_batch()
    net = Knowing(to_model_range(batch.images, CPU), scheduler)
    assert Objective(scheduler).losses(net, batch, CPU).max() < 1e-6
    assert Objective(scheduler, input_perturbation=0.1).losses(net, batch, CPU).max() < (
        1e-6 if prediction_type == "sample" else 0.1
    )


@pytest.mark.parametrize("prediction_type", TYPES)
def test_min_snr_weights_the_error_of_the_image_by_the_limited_ratio(prediction_type):
    """Whatever is predicted, the same wrong image costs min(SNR, gamma) times its squared error."""
    scheduler = make_noise_scheduler("squaredcos_cap_v2", 1000, prediction_type)
    batch = some_batch()
    wrong = Knowing(to_model_range(batch.images, CPU) + 0.1, scheduler)
    losses = Objective(scheduler, min_snr_gamma=5.0).losses(wrong, batch, CPU)
    alphas = scheduler.alphas_cumprod[batch.timesteps]
    expected = (alphas / (1 - alphas)).clamp(max=5.0) * 0.01
    torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-6)


def test_perturbed_noise_is_seen_and_not_asked_for():
    scheduler = make_noise_scheduler("linear", 1000, "epsilon")
    batch, seen = some_batch(), []

    def net(noisy, timesteps, labels, return_dict):
        seen.append(noisy)
        return (noise_like(noisy, batch.noise_seeds),)

    for strength in (0.0, 0.1):
        assert Objective(scheduler, input_perturbation=strength).losses(net, batch, CPU).max() == 0
    share = (1 - scheduler.alphas_cumprod[batch.timesteps]).sqrt().view(-1, 1, 1, 1)
    added = (seen[1] - seen[0]) / share
    assert added.std() == pytest.approx(0.1, rel=0.1)
    assert abs(float((added * noise_like(added, batch.noise_seeds)).mean())) < 0.01, "another noise"


@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2"])
def test_zero_terminal_snr_leaves_nothing_of_the_image(schedule):
    scheduler = make_noise_scheduler(schedule, 1000, "v_prediction", zero_terminal_snr=True)
    assert scheduler.alphas_cumprod[-1] == 0
    plain = make_noise_scheduler(schedule, 1000, "v_prediction")
    assert plain.alphas_cumprod[-1] > 0
    assert scheduler.alphas_cumprod[0] == pytest.approx(float(plain.alphas_cumprod[0]), rel=1e-4)
    assert (scheduler.alphas_cumprod.diff() < 0).all()


def test_a_shift_multiplies_the_largest_noise_levels_and_leaves_the_smallest():
    settings = ("squaredcos_cap_v2", 1000, "v_prediction")
    plain, shifted = (make_noise_scheduler(*settings, noise_shift=shift) for shift in (1.0, 9.0))
    sigma, shifted_sigma = ((1 / s.alphas_cumprod.double() - 1).sqrt() for s in (plain, shifted))
    ratio = shifted_sigma / sigma
    assert ratio[[0, 500, 900]].tolist() == pytest.approx([1, 3, 9**0.9], rel=0.02)
    assert float(shifted_sigma[-1]) == pytest.approx(3 * 80, rel=1e-3)
    assert (shifted_sigma.diff() > 0).all()


def test_pixels_are_standardised_by_the_images_of_the_training():
    class Source:
        batch_size = 8

        def at(self, images_seen: int) -> Batch:
            rng = np.random.default_rng(images_seen)
            pixels = rng.normal([20, 30, 40], 12, (8, 16, 16, 3)).round().clip(0, 255).astype(np.uint8)
            return replace(some_batch(8), images=torch.from_numpy(pixels))

    image_format = standardized(Source(), patch_size=2, num_images=64)
    assert image_format.patch_size == 2
    assert image_format.image_mean == pytest.approx([20 / 127.5 - 1, 30 / 127.5 - 1, 40 / 127.5 - 1], abs=2e-3)
    assert image_format.image_std == pytest.approx(12 / 127.5, rel=0.02)
    images = to_model_range(Source().at(0).images, CPU)
    pixels = image_format.standardize(images)
    assert pixels.std() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(image_format.restore(pixels), images)


def test_a_net_on_patches_sees_each_pixel_once():
    """A net that returns its input predicts the noisy image itself, whatever the patches."""
    images, seen = torch.randn(2, 3, 8, 8), []

    def net(patches, timesteps, labels, return_dict):
        seen.append(patches)
        return (patches,)

    for patch_size in (1, 2, 4):
        prediction = ImageFormat(patch_size=patch_size).predict(net, images, torch.zeros(2), torch.zeros(2))
        torch.testing.assert_close(prediction, images, rtol=0, atol=0)
        assert seen[-1].shape == (2, 3 * patch_size**2, 8 // patch_size, 8 // patch_size)
    torch.testing.assert_close(seen[-1].mean(dim=1)[0, 0, 0], images[0, :, :4, :4].mean())


@pytest.mark.parametrize("prediction_type", TYPES)
def test_a_net_that_knows_the_standardised_image_has_no_loss(prediction_type):
    scheduler, image_format = (
        make_noise_scheduler("squaredcos_cap_v2", 1000, prediction_type, noise_shift=8.0),
        ImageFormat((-0.8,) * 3, 0.24),
    )
    batch = some_batch()
    net = Knowing(image_format.standardize(to_model_range(batch.images, CPU)), scheduler)
    assert Objective(scheduler, image_format=image_format).losses(net, batch, CPU).max() < 1e-4


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(UserError, match="v_prediction or sample"):
        make_noise_scheduler("linear", 1000, "epsilon", zero_terminal_snr=True)
    with pytest.raises(UserError, match="noise_shift bounds the noise levels"):
        make_noise_scheduler("linear", 1000, "sample", zero_terminal_snr=True, noise_shift=8.0)
    with pytest.raises(UserError, match="leave one of them out"):
        Objective(make_noise_scheduler("linear", 1000, "sample", zero_terminal_snr=True), min_snr_gamma=5.0)
