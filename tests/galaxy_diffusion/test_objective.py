"""Targets, weights and schedules, against their formulas."""

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from galaxy_diffusion.batches import Batch, noise_like, to_model_range
from galaxy_diffusion.objective import Objective, make_noise_scheduler
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
        list(range(size)),
    )


class Knowing(torch.nn.Module):
    """Works out noise, image or velocity from the noisy image, as it knows the clean one."""

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
    expected = compute_snr(scheduler, batch.timesteps).clamp(max=5.0) * 0.01
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


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(UserError, match="v_prediction or sample"):
        make_noise_scheduler("linear", 1000, "epsilon", zero_terminal_snr=True)
    with pytest.raises(UserError, match="leave one of them out"):
        Objective(make_noise_scheduler("linear", 1000, "sample", zero_terminal_snr=True), min_snr_gamma=5.0)
