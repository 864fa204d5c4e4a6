"""Pieces of a batch give the gradient of the whole, and memory decides their size."""

import pytest
import torch
from accelerate import Accelerator

from galaxy_diffusion.generators.micro_batch import backward, find_micro_batch, largest
from galaxy_diffusion.generators.objective import Objective, make_noise_scheduler
from gz2_dataset import UserError
from tests.galaxy_diffusion.generators.test_objective import some_batch
from tests.galaxy_diffusion.sampling.test_ddpm_pipeline import small_unet


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_pieces_have_the_loss_and_gradient_of_the_whole(size):
    accelerator, objective = Accelerator(cpu=True), Objective(make_noise_scheduler("linear", 1000, "epsilon"))
    batch, whole, pieces = some_batch(6), small_unet(), small_unet()
    expected = objective.losses(whole, batch, torch.device("cpu")).mean()
    expected.backward()
    loss = backward(accelerator, pieces, objective, batch, size)
    torch.testing.assert_close(loss, expected.detach())
    for one, other in zip(whole.parameters(), pieces.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-6)


def test_dropout_is_a_function_of_the_images_seen():
    """So a resumed run draws what the uninterrupted one draws, whatever the state of torch's generator."""
    accelerator, objective = Accelerator(cpu=True), Objective(make_noise_scheduler("linear", 1000, "epsilon"))
    gradients = []
    for dropout in (0.2, 0.2, 0.0):
        torch.rand(len(gradients) + 1)
        config = {name: value for name, value in small_unet().config.items() if not name.startswith("_")}
        unet = type(small_unet())(**{**config, "dropout": dropout})
        unet.load_state_dict(small_unet().state_dict())
        torch.rand(len(gradients) + 1)
        backward(accelerator, unet.train(), objective, some_batch(6), 4)
        gradients.append(torch.cat([weight.grad.flatten() for weight in unet.parameters()]))
    assert torch.equal(gradients[0], gradients[1])
    assert not torch.allclose(gradients[0], gradients[2])


def test_the_size_is_halved_until_it_fits():
    tried = []

    def rehearse(size: int) -> None:
        tried.append(size)
        if size > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    assert largest(rehearse, 20) == 5
    assert tried == [20, 10, 5]


def test_too_little_memory_for_one_image_and_other_errors_are_told():
    def full(size: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    def broken(size: int) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(UserError, match="gradient_checkpointing"):
        largest(full, 4)
    with pytest.raises(RuntimeError, match="shapes"):
        largest(broken, 4)


def test_a_cpu_takes_what_is_asked_for():
    accelerator, unet = Accelerator(cpu=True), small_unet()
    optimizer = torch.optim.AdamW(unet.parameters())
    objective = Objective(make_noise_scheduler("linear", 1000, "epsilon"))
    assert find_micro_batch(accelerator, unet, optimizer, objective, some_batch(), 6) == 6
    assert all(weight.grad is None for weight in unet.parameters())
