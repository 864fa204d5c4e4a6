"""The samplers that generate.py offers, made from the scheduler that a model was trained with."""

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
    "ddim": (DDIMScheduler, {"timestep_spacing": "trailing"}),
    "dpmsolver++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "sde-dpmsolver++": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": (UniPCMultistepScheduler, {}),
    "euler": (EulerDiscreteScheduler, {"timestep_spacing": "trailing"}),
    "heun": (HeunDiscreteScheduler, {"timestep_spacing": "trailing"}),
}


def make_scheduler(name: str, trained_with: SchedulerMixin) -> SchedulerMixin:
    """A sampler with the noise schedule and prediction type of the one that the model was trained with.

    Parameters
    ----------
    name : str
        A key of `SCHEDULERS`.
    trained_with : SchedulerMixin
        Scheduler of the saved pipeline.
    """
    if name not in SCHEDULERS:
        raise UserError(f"no scheduler {name!r}; choose from {', '.join(SCHEDULERS)}")
    scheduler_class, options = SCHEDULERS[name]
    return scheduler_class.from_config(trained_with.config, **options)
