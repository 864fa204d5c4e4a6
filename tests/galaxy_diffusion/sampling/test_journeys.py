"""From noise to galaxy, and from one galaxy to another."""

import numpy as np
import pytest
import torch

from galaxy_diffusion.sampling.journeys import emerging, generate_trajectory, interpolate, slerp
from galaxy_diffusion.sampling.schedulers import SCHEDULERS
from galaxy_diffusion.sampling.seeded_images import generate_batch
from tests.galaxy_diffusion.sampling.test_ddpm_pipeline import best_pipeline, untrained


@pytest.mark.parametrize(("sampler", "steps"), [("ddpm", 200), *((sampler, 20) for sampler in SCHEDULERS)])
def test_a_trajectory_goes_from_noise_to_the_image(sampler, steps):
    pipeline = best_pipeline("linear", sampler)
    frames, timesteps = generate_trajectory(pipeline, 7, every=100, guidance_scale=1.0, num_inference_steps=steps)
    assert frames.shape == (2, 11, 8, 8, 3)
    assert timesteps.tolist() == list(range(1000, -1, -100))
    np.testing.assert_allclose(
        frames[:, -1], generate_batch(pipeline, [0, 1], [7, 7], guidance_scale=1.0, num_inference_steps=steps), atol=1
    )
    np.testing.assert_array_equal(frames[0, 0], frames[1, 0])  # the same noise
    spread = frames.astype(float).std(axis=(2, 3, 4)).mean(axis=0)
    assert spread[1] == pytest.approx(spread[0], rel=0.1), "the picture of the noise depends on the scheduler"
    assert spread[0] > 2 * spread[-1]
    assert (np.diff(spread) < 5).all()


@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_a_galaxy_emerges_from_noise_and_ends_as_the_image(sampler):
    pipeline, options = best_pipeline("linear", sampler), {"guidance_scale": 1.0, "num_inference_steps": 12}
    frames = np.stack(list(emerging(pipeline, 1, 7, **options))).astype(int)
    assert len(frames) >= 12
    np.testing.assert_array_equal(frames[-1], generate_batch(pipeline, [1], [7], **options)[0])
    spread = frames.std(axis=(1, 2, 3))
    assert spread[0] > 2 * spread[-1]


def test_who_stops_looking_stops_the_sampler():
    pipeline, calls = untrained(), []
    pipeline.unet.register_forward_hook(lambda *_: calls.append(1))
    for _ in emerging(pipeline, 0, 3, guidance_scale=1.0, num_inference_steps=500):
        break
    assert len(calls) < 500


def test_an_error_of_the_sampler_is_one_of_who_looks():
    with pytest.raises(ValueError, match="steps"):
        list(emerging(untrained(), 0, 3, num_inference_steps=0))


@pytest.mark.parametrize("ends", [[(0, 3), (1, 3)], [(0, 3), (0, 4)], [("dark", 3), ("bright", 4)]])
def test_an_interpolation_begins_and_ends_with_the_images_of_its_ends(ends):
    pipeline = untrained()
    frames = interpolate(pipeline, ends, 5, guidance_scale=2.0, num_inference_steps=6).astype(int)
    labels, seeds = [pipeline.label_of(label) for label, _ in ends], [seed for _, seed in ends]
    expected = generate_batch(pipeline, labels, seeds, guidance_scale=2.0, num_inference_steps=6).astype(int)
    assert np.abs(frames[[0, -1]] - expected).max() <= 1
    steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    whole = np.abs(frames[-1] - frames[0]).mean()
    assert 0 < steps.max() < whole, "no jump on the way"


def test_halfway_between_two_classes_lies_halfway_between_their_means():
    frames = interpolate(
        best_pipeline("cosine", "ddim"), [("dark", 1), ("bright", 1)], 3, guidance_scale=1.0, num_inference_steps=30
    )
    assert (frames.mean(axis=(1, 2, 3)) / 127.5 - 1).tolist() == pytest.approx([-0.5, 0.0, 0.5], abs=0.05)


@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_from_class_to_class_all_frames_share_the_noise_added_on_the_way(sampler):
    pipeline = untrained(sampler)
    frames = interpolate(pipeline, [(0, 3), (1, 3)], 4, guidance_scale=2.0, num_inference_steps=6).astype(int)
    assert (
        np.abs(
            frames[[0, -1]] - generate_batch(pipeline, [0, 1], [3, 3], guidance_scale=2.0, num_inference_steps=6)
        ).max()
        <= 1
    )


def test_slerp_keeps_the_length_of_noise():
    first, last = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    between = slerp(first, last, torch.linspace(0, 1, 7))
    assert torch.allclose(between[0], first, atol=1e-5)
    assert torch.allclose(between[-1], last, atol=1e-5)
    assert between.flatten(1).std(dim=1).tolist() == pytest.approx([1.0] * 7, abs=0.03)
    assert torch.allclose(slerp(first, first, torch.tensor([0.5]))[0], first)
