"""A batch in pieces that fit into memory: same images, same noise, same gradient, summed over more pieces."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from galaxy_diffusion.generators.batches import Batch
from galaxy_diffusion.generators.objective import Objective
from gz2_dataset import UserError


def backward(
    accelerator: Accelerator, unet: torch.nn.Module, objective: Objective, batch: Batch, size: int
) -> torch.Tensor:
    """Add the gradient of the batch's mean loss to the weights, ``size`` images at a time; returns that loss.

    The processes exchange gradients once, with the last piece. Only dropout, which is not drawn image by image, depends
    on the pieces.
    """
    mean = torch.zeros((), device=accelerator.device)
    parts = batch.parts(size)
    for part in parts:
        torch.manual_seed(int(part.noise_seeds[0]))  # dropout follows the images seen as well
        with nullcontext() if part is parts[-1] else accelerator.no_sync(unet):
            loss = objective.losses(unet, part, accelerator.device).sum() / len(batch.images)
            accelerator.backward(loss)
        mean += loss.detach()
    return mean


def find_micro_batch(
    accelerator: Accelerator,
    unet: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    batch: Batch,
    at_most: int,
) -> int:
    """The most images, up to ``at_most``, that every process can work on at a time.

    On a GPU this is found by trial, with as much memory set aside as the optimiser will take; a CPU has swap.
    """
    if accelerator.device.type != "cuda":
        return at_most
    weights = [weight for weight in unet.parameters() if weight.requires_grad]

    def rehearse(size: int) -> None:
        moments = [] if optimizer.state else [torch.empty_like(weight) for weight in weights for _ in range(2)]
        with accelerator.no_sync(unet):
            accelerator.backward(objective.losses(unet, batch.parts(size)[0], accelerator.device).sum())
        del moments

    size = torch.tensor(largest(rehearse, at_most), device=accelerator.device)
    optimizer.zero_grad(set_to_none=True)
    return int(accelerator.gather(size).min())


def largest(rehearse: Callable[[int], None], size: int) -> int:
    """``size``, halved until ``rehearse(size)`` does not run out of memory.

    Raises
    ------
    UserError
        If even a single image does not fit.
    """
    while True:
        try:
            rehearse(size)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            if size == 1:
                raise UserError(
                    "not even one image fits into the memory; use --gradient_checkpointing true, "
                    "--mixed_precision bf16 or a smaller net"
                ) from None
        else:
            return size
        clear_device_cache(garbage_collection=True)
        size = (size + 1) // 2
