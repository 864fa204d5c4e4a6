"""A step's loss and gradient as one CUDA graph: the host may take longer to launch a small net than a GPU to run it."""

import torch

from galaxy_diffusion.generators.batches import Batch
from galaxy_diffusion.generators.objective import Objective

WARM_UP_STEPS = 3
"""Steps before the recording, in which libraries choose their kernels and take their memory."""


class GraphedGradient:
    """Records what `micro_batch.backward` does with a batch, and repeats it with other images.

    Only dropout is drawn otherwise than without a graph, from the same seed.

    Parameters
    ----------
    unet : Module
        On a GPU, in training mode.
    objective : Objective
    batch : Batch
        Any batch of the size of all later ones.
    device : torch.device
    """

    def __init__(self, unet: torch.nn.Module, objective: Objective, batch: Batch, device: torch.device):
        self.unet, self.objective, self.device = unet, objective, device
        self.batch = Batch(*(column.to(device, copy=True) for column in vars(batch).values()))
        self.weights = [weight for weight in unet.parameters() if weight.requires_grad]
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._backward()
        torch.cuda.current_stream(device).wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        self._forget_gradient()
        with torch.cuda.graph(self.graph):
            self.loss = self._backward()
        self.gradient = [weight.grad for weight in self.weights]
        self._forget_gradient()

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Give the weights the gradient of the batch's mean loss; returns that loss."""
        torch.manual_seed(int(batch.noise_seeds[0]))
        for recorded, column in zip(vars(self.batch).values(), vars(batch).values(), strict=True):
            recorded.copy_(column, non_blocking=True)
        self.graph.replay()
        for weight, gradient in zip(self.weights, self.gradient, strict=True):
            weight.grad = gradient
        return self.loss.clone()

    def _backward(self) -> torch.Tensor:
        self._forget_gradient()
        loss = self.objective.losses(self.unet, self.batch, self.device).mean()
        loss.backward()
        return loss.detach()

    def _forget_gradient(self) -> None:
        for weight in self.weights:
            weight.grad = None
