"""Estimates against what can be counted by hand."""

import pytest
import torch

from galaxy_diffusion.generators.cost import cost_of, describe, measure_throughput
from galaxy_diffusion.generators.fine_tuning import add_lora
from galaxy_diffusion.generators.objective import Objective, make_noise_scheduler
from tests.galaxy_diffusion.generators.test_objective import some_batch
from tests.galaxy_diffusion.sampling.test_ddpm_pipeline import small_unet

LABEL = torch.zeros(1, dtype=torch.int64)


def test_arithmetic_is_that_of_convolutions_and_products():
    """Two per multiplication of every layer, and twice as much backward; the middle block's attention is small."""
    unet, macs = small_unet(), {}

    def count(name):
        def hook(layer, _, output):
            if isinstance(layer, torch.nn.Conv2d):
                macs[name] = output.numel() * layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
            elif isinstance(layer, torch.nn.Linear):
                macs[name] = output.numel() * layer.in_features

        return hook

    for name, layer in unet.named_modules():
        layer.register_forward_hook(count(name))
    unet(torch.zeros(1, 3, 8, 8), 0, LABEL)
    forward = 2 * sum(macs.values())
    flops = cost_of(small_unet(), LABEL).flops
    assert flops == pytest.approx(3 * forward, rel=0.05)


def test_state_is_weights_average_gradients_and_moments():
    unet = small_unet()
    what = cost_of(unet, LABEL)
    assert what.parameters == what.trained == sum(weight.numel() for weight in unet.parameters())
    assert what.state_bytes == 5 * 4 * what.parameters
    assert what.activation_bytes > 0


def test_checkpointing_keeps_less_and_computes_more():
    plain, thrifty = small_unet(), small_unet()
    thrifty.enable_gradient_checkpointing()
    before, after = cost_of(plain, LABEL), cost_of(thrifty, LABEL)
    assert after.activation_bytes < 0.7 * before.activation_bytes
    assert after.flops > before.flops


def test_lora_trains_less():
    pytest.importorskip("peft")
    unet = small_unet()
    whole = cost_of(unet, LABEL)
    add_lora(unet, 1, "model")
    assert cost_of(unet, LABEL).trained < 0.5 * whole.trained


def test_the_description_follows_from_the_figures():
    what = cost_of(small_unet(), LABEL)
    objective = Objective(make_noise_scheduler("linear", 1000, "epsilon"))
    speed = measure_throughput(small_unet(), objective, some_batch(), torch.device("cpu"))
    assert speed > 0
    text = describe(what, 10.0, 72_000, 4, False, "1 x cpu")
    assert f"{what.parameters:,}" in text
    assert "2.00 hours for 72,000 images at 10 images/s on 1 x cpu" in text
