"""How images are sampled: what the pipeline is called with, and what is recorded with the images."""

from dataclasses import dataclass
from typing import Any, ClassVar

from galaxy_diffusion.sampling.ddpm_pipeline import DEFAULT_GUIDANCE
from galaxy_diffusion.sampling.schedulers import DEFAULT, sampler_of


@dataclass(frozen=True)
class Sampling:
    """How a diffusion model is sampled; the defaults are the recommended settings.

    Attributes
    ----------
    scheduler : str
        The key of `schedulers.SCHEDULERS` that the pipeline has been loaded with.
    num_inference_steps : int
        Denoising steps; if None is given, as many as the scheduler needs to keep faint sky.
    guidance_scale : float
        Weight of the class; 1 is the plain conditional model.
    guidance_interval : tuple of float, optional
        Noise levels sigma between which to guide; everywhere if None.
    strength : float, optional
        For a variation of a real galaxy: the share of the steps that it goes back through.

    Examples
    --------
    >>> Sampling("unipc").kwargs
    {'guidance_scale': 1.0, 'num_inference_steps': 18}
    """

    scheduler: str = DEFAULT
    num_inference_steps: int | None = None
    guidance_scale: float = DEFAULT_GUIDANCE
    guidance_interval: tuple[float, float] | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        if self.num_inference_steps is None:
            object.__setattr__(self, "num_inference_steps", sampler_of(self.scheduler).steps)

    @property
    def kwargs(self) -> dict[str, Any]:
        """Arguments of the pipeline's call."""
        names = ("guidance_scale", "num_inference_steps", "guidance_interval", "strength")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def record(self) -> dict[str, Any]:
        """What settings.json and metadata.jsonl record of it; the strength only where real galaxies are varied."""
        interval = {"guidance_interval": self.guidance_interval} if self.guidance_interval is not None else {}
        return {
            "scheduler": self.scheduler,
            "timestep_spacing": sampler_of(self.scheduler).options["timestep_spacing"],
            "steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            **interval,
        }


@dataclass(frozen=True)
class FixedSampling:
    """How a model that leaves nothing to choose is sampled: every model except a diffusion model.

    Attributes
    ----------
    name : str
        Takes the place of a scheduler in records: the ``sampler`` of the pipeline.
    """

    name: str
    kwargs: ClassVar[dict[str, Any]] = {}

    @property
    def record(self) -> dict[str, Any]:
        """What settings.json and metadata.jsonl record of it."""
        return {"scheduler": self.name, "steps": 1, "guidance_scale": 1.0}
