"""The samplers that generate.py offers, made from the scheduler that a model was trained with."""

from dataclasses import dataclass

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

KARRAS = {"use_karras_sigmas": True, "timestep_spacing": "linspace"}
"""Noise levels of Karras et al. 2022 (arXiv:2206.00364), from the last down to the first timestep of the training."""
TRAILING = {"timestep_spacing": "trailing"}


@dataclass(frozen=True)
class Sampler:
    """One of diffusers' schedulers, configured as it is used here.

    Attributes
    ----------
    scheduler_class : type
    options : dict
        Arguments that it is made with.
    steps : int
        Denoising steps that a pixel needs to keep 0.9 to 1.1 of its standard deviation with the best denoiser, if its
        data are normal with a standard deviation between 0.02 and 1. Fewer steps remove faint sky: whatever lies below
        the last noise level is replaced by its mean.
    """

    scheduler_class: type[SchedulerMixin]
    options: dict
    steps: int


SCHEDULERS = {
    "ddpm": Sampler(DDPMScheduler, {**TRAILING, "variance_type": "fixed_large"}, 1000),
    "ddim": Sampler(DDIMScheduler, TRAILING, 1000),
    "dpmsolver++": Sampler(DPMSolverMultistepScheduler, {**KARRAS, "algorithm_type": "dpmsolver++"}, 25),
    "sde-dpmsolver++": Sampler(DPMSolverMultistepScheduler, {**KARRAS, "algorithm_type": "sde-dpmsolver++"}, 35),
    "unipc": Sampler(UniPCMultistepScheduler, KARRAS, 18),
    "euler": Sampler(EulerDiscreteScheduler, KARRAS, 100),
    "heun": Sampler(HeunDiscreteScheduler, KARRAS, 18),
}
DEFAULT = "sde-dpmsolver++"
FOLDER = "sampler"
"""Subfolder of a saved model with the scheduler that `DEFAULT` makes for it; the model's own is for training."""
STOCHASTIC = {"ddpm", "sde-dpmsolver++"}  # these add noise at each step
LARGEST_SIGMA = 80.0  # Karras et al. 2022, arXiv:2206.00364


def sampler_of(name: str) -> Sampler:
    """The sampler of that name; raises a `UserError` that lists them if there is none."""
    if name not in SCHEDULERS:
        raise UserError(f"no scheduler {name!r}; choose from {', '.join(SCHEDULERS)}")
    return SCHEDULERS[name]


def make_scheduler(name: str, trained_with: SchedulerMixin) -> SchedulerMixin:
    """A sampler with the noise schedule and prediction type of the one that the model was trained with.

    It starts at the last training timestep, where an image is nothing but noise (Lin et al. 2024, arXiv:2305.08891),
    and steps down towards the smallest noise level of the training, as far as its number of steps allows.

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
    sampler = sampler_of(name)
    options = dict(sampler.options)
    if options.get("use_karras_sigmas"):
        # These betas end where they should; some schedulers would make the last noise level infinite again.
        options |= {"trained_betas": bounded_betas(trained_with), "rescale_betas_zero_snr": False}
    return sampler.scheduler_class.from_config(trained_with.config, **options)


def bounded_betas(scheduler: SchedulerMixin, noise_shift: float = 1.0) -> list[float]:
    """Betas of nearly the same schedule, but with a bounded last noise level instead of an infinite one.

    Parameters
    ----------
    scheduler : SchedulerMixin
        One that already has such betas is left as it is.
    noise_shift : float
        Multiplies the noise levels, the smallest by 1, the largest by this, those in between by a power of it that
        grows with the timestep (the interpolated shift of Hoogeboom et al. 2023, arXiv:2301.11093). The bound is
        `LARGEST_SIGMA` times its square root.
    """
    if scheduler.config.trained_betas is not None:
        return list(scheduler.config.trained_betas)
    alphas_cumprod = scheduler.alphas_cumprod.double().clamp(min=2.0**-60)
    share = torch.linspace(0, 1, len(alphas_cumprod), dtype=torch.float64)
    sigmas = (1 / alphas_cumprod - 1).sqrt() * noise_shift**share
    floor = 1 / (1 + noise_shift * LARGEST_SIGMA**2)
    alphas_cumprod = floor + (1 - floor) / (1 + sigmas**2)
    before = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod[:-1]])
    return (1 - alphas_cumprod / before).tolist()
