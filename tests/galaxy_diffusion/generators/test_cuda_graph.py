"""A recorded step gives the loss and gradient of the step itself."""

from contextlib import nullcontext

import pytest
import torch
from accelerate import Accelerator

from galaxy_diffusion.generators.cuda_graph import GraphedGradient
from galaxy_diffusion.generators.micro_batch import backward
from galaxy_diffusion.generators.objective import Objective, make_noise_scheduler
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from tests.galaxy_diffusion.generators.test_objective import some_batch
from tests.galaxy_diffusion.sampling.test_ddpm_pipeline import small_unet


class Replaying:
    """Stands in for CUDA where there is none: a replay computes anew, into the tensors of the recording."""

    def __init__(self):
        self.recorded = None

    def replay(self):
        gradient, loss = self.recorded.gradient, self.recorded._backward()
        self.recorded.loss.copy_(loss)
        for kept, weight in zip(gradient, self.recorded.weights, strict=True):
            kept.copy_(weight.grad)


class Stream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def device(monkeypatch):
    if torch.cuda.is_available():
        return torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream())
    for name in ("stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Replaying)
    return torch.device("cpu")


def test_a_replay_has_the_loss_and_gradient_of_its_own_batch(device):
    scheduler = make_noise_scheduler("squaredcos_cap_v2", 1000, "v_prediction")
    objective = Objective(scheduler, image_format=ImageFormat((-0.8, -0.8, -0.9), 0.3))
    plain, net = small_unet().to(device), small_unet().to(device)
    graphed = GraphedGradient(net, objective, some_batch(3), device)
    if device.type == "cpu":
        graphed.graph.recorded = graphed
    assert all(weight.grad is None for weight in net.parameters()), "the recording leaves no gradient"
    for batch in some_batch(6).parts(3):
        for unet in (plain, net):
            unet.zero_grad(set_to_none=True)
        expected = backward(Accelerator(cpu=device.type == "cpu"), plain, objective, batch, 3)
        torch.testing.assert_close(graphed(batch), expected)
        for one, other in zip(plain.parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-6)
