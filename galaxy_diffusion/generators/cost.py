"""What a training will cost in parameters, arithmetic, memory and time, before it begins."""

import copy
import time
from dataclasses import dataclass

import torch
from diffusers import UNet2DModel
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from galaxy_diffusion.generators.batches import Batch
from galaxy_diffusion.generators.objective import Objective

IMAGES_TIMED_ON_CPU = 2


@dataclass(frozen=True)
class Cost:
    """What a training costs.

    Attributes
    ----------
    parameters, trained : int
        Number of weights of the net, and how many of them are trained.
    flops : int
        Floating-point operations per image, forward and backward, as torch counts them for convolutions, matrix
        products and attention: a multiplication and an addition are two.
    state_bytes : int
        Weights, their average, gradients and AdamW's two moments, in float32.
    activation_bytes : int
        What is kept per image for the backward pass, in float32; half as much with bf16 or fp16.
    """

    parameters: int
    trained: int
    flops: int
    state_bytes: int
    activation_bytes: int


def cost_of(unet: UNet2DModel, label: torch.Tensor) -> Cost:
    """Count the cost of a training step on one image without running it.

    Parameters
    ----------
    unet : UNet2DModel
        As it will be trained: with LoRA, gradient checkpointing.
    label : Tensor, shape (1,) or (1, 38)
        A label as the batches hold it.
    """
    unet = copy.deepcopy(unet).to("meta").train()
    weights = list(unet.parameters())
    size = unet.config.sample_size
    image = torch.empty(1, unet.config.in_channels, size, size, device="meta")
    own = {weight.untyped_storage()._cdata for weight in weights}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage()._cdata not in own:
            kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with FlopCounterMode(display=False) as counter:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            timestep = torch.empty(1, dtype=torch.int64, device="meta")
            prediction = unet(image, timestep, label.to("meta"), return_dict=False)[0]
        prediction.sum().backward()
    parameters = sum(weight.numel() for weight in weights)
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    activations = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    return Cost(parameters, trained, counter.get_total_flops(), 4 * (2 * parameters + 3 * trained), activations)


def measure_throughput(unet: torch.nn.Module, objective: Objective, batch: Batch, device: torch.device) -> float:
    """Images per second, forward and backward, on ``device`` after one pass to warm up; on a CPU with two images."""
    if device.type == "cpu":
        batch = batch.parts(IMAGES_TIMED_ON_CPU)[0]
    for _ in range(2):
        started = time.monotonic()
        loss = objective.losses(unet, batch, device).mean()
        loss.backward()
        loss.item()  # waits for a GPU
    return len(batch.images) / (time.monotonic() - started)


def describe(what: Cost, images_per_second: float, total_images: int, at_once: int, half: bool, device: str) -> str:
    """The cost in words, one line per kind."""
    activations = what.activation_bytes * at_once / (2 if half else 1)
    hours = total_images / images_per_second / 3600
    return "\n".join(
        (
            f"parameters: {what.parameters:,}, of which {what.trained:,} are trained",
            f"arithmetic: {what.flops / 1e9:,.2f} GFLOP per image, forward and backward",
            f"memory per process: about {(what.state_bytes + activations) / 1e9:,.2f} GB, of which "
            f"{activations / 1e9:,.2f} GB are activations of {at_once} images",
            f"time: about {hours:,.2f} hours for {total_images:,} images at {images_per_second:.3g} images/s on "
            f"{device}, measured",
        )
    )
