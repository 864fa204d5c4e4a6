"""What is watched: intervals, validation losses by class, averaged nets."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from PIL import Image

from galaxy_diffusion.generators.conditioning import Conditioning
from galaxy_diffusion.generators.monitoring import Interval, ValidationLoss, averaged, due, save_grid
from galaxy_diffusion.generators.objective import Objective, make_noise_scheduler
from gz2_dataset import GalaxyArrays, UserError
from tests.galaxy_diffusion.sampling.test_ddpm_pipeline import small_unet, untrained

OBJECTIVE = Objective(make_noise_scheduler("linear", 1000, "epsilon"), input_perturbation=0.1)
GALAXIES = GalaxyArrays(
    np.random.default_rng(0).integers(256, size=(7, 8, 8, 3), dtype=np.uint8),
    np.array([0, 1, 1, 0, 1, 1, 1]),
    [],
    [],
    ("a", "b"),
)


def test_due_once_a_multiple_at_the_end_and_never_for_zero():
    steps = [(before, before + 8) for before in range(0, 64, 8)]
    assert [now for before, now in steps if due(20, before, now, 60)] == [24, 40, 64]
    assert not any(due(0, before, now, 60) for before, now in steps)


def test_an_interval_averages_its_own_steps_and_adds_up_the_time(tmp_path):
    interval = Interval(Accelerator(cpu=True), 0, 100.0, tmp_path)
    for loss in (1.0, 3.0):
        interval.add(torch.tensor(loss))
    first = interval.record(16)
    assert (first["images_seen"], first["loss"]) == (16, 2.0)
    assert first["seconds"] > 100
    assert first["images_per_second"] == pytest.approx(16 / (first["seconds"] - 100))
    interval.begin()
    interval.add(torch.tensor(5.0))
    assert interval.record(32)["loss"] == 5.0


def test_a_loss_that_is_not_a_number_ends_the_training_in_its_step_or_where_a_gpu_is_waited_for(tmp_path):
    interval = Interval(Accelerator(cpu=True), 32, 100.0, tmp_path)
    with pytest.raises(UserError, match=r"the loss is not a number after 32 images.*there is no checkpoint yet"):
        interval.add(torch.tensor(float("nan")))
    interval.sums, interval.steps["loss"] = {"loss": torch.tensor(float("nan"))}, 1  # as on a GPU
    with pytest.raises(UserError, match="the loss is not a number after 48 images"):
        interval.record(48)


def test_the_validation_loss_of_a_class_is_that_of_its_galaxies():
    """A net that is right only for class a has no loss there, however the galaxies are batched."""

    class RightForA(torch.nn.Module):
        def forward(self, noisy, timesteps, labels, return_dict):
            alpha = OBJECTIVE.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
            clean = torch.stack([lookup[key] for key in zip(timesteps.tolist(), labels.tolist(), strict=True)])
            noise = (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()
            return (torch.where((labels == 0).view(-1, 1, 1, 1), noise, 0),)

    validation = ValidationLoss(GALAXIES, OBJECTIVE, Conditioning(GALAXIES.class_names), seed=0)
    batch = validation.batch
    keys = list(zip(batch.timesteps.tolist(), batch.labels.tolist(), strict=True))
    assert len(set(keys)) == len(keys) == 28
    lookup = dict(zip(keys, batch.images.permute(0, 3, 1, 2).float() / 127.5 - 1, strict=True))
    accelerator = Accelerator(cpu=True)
    losses = [validation(accelerator, RightForA(), size) for size in (3, 28, 28)]
    assert losses[1] == losses[2]
    for name, value in losses[0].items():
        assert value == pytest.approx(losses[1][name], rel=1e-5, abs=1e-9)
    assert losses[0]["validation_loss/a"] < 1e-5
    assert losses[0]["validation_loss/b"] == pytest.approx(1, abs=0.1), "the variance of the noise"
    assert losses[0]["validation_loss"] == pytest.approx(losses[0]["validation_loss/b"] / 2, rel=1e-3)


def test_validation_covers_the_schedule_and_no_more_than_asked_of_a_class():
    batch = ValidationLoss(GALAXIES, OBJECTIVE, Conditioning(GALAXIES.class_names), seed=0, per_class=2, levels=4).batch
    assert torch.bincount(batch.labels).tolist() == [8, 8]
    assert (batch.timesteps // 250).tolist() == [0, 1, 2, 3] * 4
    none = GalaxyArrays(GALAXIES.images[:0], GALAXIES.labels[:0], [], [], ("a",))
    with pytest.raises(UserError, match="no validation split"):
        ValidationLoss(none, OBJECTIVE, Conditioning(none.class_names), 0)


def test_the_averaged_net_is_another_one():
    unet = small_unet()
    ema = EMAModel(unet.parameters(), decay=0.5)
    start = {name: value.clone() for name, value in unet.state_dict().items()}
    with torch.no_grad():
        for weight in unet.parameters():
            weight.add_(1.0)
    ema.step(unet.parameters())
    mean = averaged(unet, ema)
    decay = ema.cur_decay_value
    for name, value in mean.state_dict().items():
        torch.testing.assert_close(value, start[name] + (1 - decay))
        torch.testing.assert_close(unet.state_dict()[name], start[name] + 1)


def test_a_grid_has_a_row_a_class_and_the_same_noise_in_a_column(tmp_path):
    save_grid(untrained(), tmp_path / "samples/grid.png", seed=0, columns=3)
    with Image.open(tmp_path / "samples/grid.png") as grid:
        assert grid.size == (24, 16)
    before = (tmp_path / "samples/grid.png").read_bytes()
    save_grid(untrained(), tmp_path / "samples/grid.png", seed=0, columns=3)
    assert (tmp_path / "samples/grid.png").read_bytes() == before
