"""What a sampling asks of the pipeline is what it records."""

import inspect

import pytest

from galaxy_diffusion.sampling.ddpm_pipeline import DEFAULT_GUIDANCE, ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.schedulers import SCHEDULERS, make_scheduler
from galaxy_diffusion.sampling.settings import FixedSampling, Sampling
from gz2_dataset import UserError
from tests.galaxy_diffusion.sampling.test_ddpm_pipeline import untrained


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_record_is_that_of_the_scheduler_with_its_recommended_steps(name):
    record = Sampling(name).record
    spacing = make_scheduler(name, untrained().scheduler).config.timestep_spacing
    assert record == {
        "scheduler": name,
        "timestep_spacing": spacing,
        "steps": SCHEDULERS[name].steps,
        "guidance_scale": DEFAULT_GUIDANCE,
    }


def test_the_pipeline_knows_every_argument_and_gets_none_that_was_not_chosen():
    chosen = Sampling("ddim", 7, 1.5, (0.3, 3.0), 0.4)
    known = inspect.signature(ClassConditionalDDPMPipeline.__call__).parameters
    assert chosen.kwargs.keys() <= known.keys()
    assert chosen.kwargs == {
        "num_inference_steps": 7,
        "guidance_scale": 1.5,
        "guidance_interval": (0.3, 3.0),
        "strength": 0.4,
    }
    assert Sampling("ddim", 7).kwargs == {"num_inference_steps": 7, "guidance_scale": DEFAULT_GUIDANCE}
    assert FixedSampling.kwargs == {}


def test_no_steps_are_not_the_recommended_ones():
    assert Sampling(num_inference_steps=0).record["steps"] == 0


def test_an_unknown_scheduler_is_refused():
    with pytest.raises(UserError, match="no scheduler 'karras'"):
        Sampling("karras")
