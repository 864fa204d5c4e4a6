"""The samplers that generate.py offers, made from the scheduler that a model was trained with."""

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)

from gz2_dataset import UserError

SCHEDULERS = {
    "ddpm": (DDPMScheduler, {}),
    "ddim": (DDIMScheduler, {}),
    "dpmsolver++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "sde-dpmsolver++": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": (UniPCMultistepScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {"use_karras_sigmas": True}),
}
DEFAULT, DEFAULT_STEPS = "heun", 10
"""As good as 1000 steps of ddpm, with 19 calls of the net; docs/benchmarks.md has the measurement."""
STOCHASTIC = {"ddpm", "sde-dpmsolver++"}  # they add noise on the way
LARGEST_SIGMA = 80.0  # Karras et al. 2022, arXiv:2206.00364


def make_scheduler(name: str, trained_with: SchedulerMixin) -> SchedulerMixin:
    """A sampler with the noise schedule and prediction type of the one that the model was trained with.

    Its first step is at the last training timestep ("trailing"), where an image is nothing but noise. Other spacings
    start from noise at a timestep at which the model has always seen some signal (Lin et al. 2024, arXiv:2305.08891).
    Heun's steps are those of Karras et al. 2022 (arXiv:2206.00364): its correction fails where the noise level falls
    by a large factor in one step, as it does at the end of a cosine or zero-terminal-SNR schedule.

    Parameters
    ----------
    name : str
        A key of `SCHEDULERS`.
    trained_with : SchedulerMixin
        Scheduler of the saved pipeline.

    Raises
    ------
    UserError
        If there is no such sampler.

    Examples
    --------
    >>> make_scheduler("unipc", DDPMScheduler(prediction_type="v_prediction")).config.prediction_type
    'v_prediction'
    """
    if name not in SCHEDULERS:
        raise UserError(f"no scheduler {name!r}; choose from {', '.join(SCHEDULERS)}")
    scheduler_class, options = SCHEDULERS[name]
    if scheduler_class is HeunDiscreteScheduler:
        options = {**options, "trained_betas": bounded_betas(trained_with)}
    return scheduler_class.from_config(trained_with.config, timestep_spacing="trailing", **options)


def bounded_betas(scheduler: SchedulerMixin) -> list[float]:
    """Betas of nearly the same schedule, whose last noise level is at most `LARGEST_SIGMA` instead of infinite."""
    floor = 1 / (1 + LARGEST_SIGMA**2)
    alphas_cumprod = floor + (1 - floor) * scheduler.alphas_cumprod.double()
    before = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod[:-1]])
    return (1 - alphas_cumprod / before).tolist()
