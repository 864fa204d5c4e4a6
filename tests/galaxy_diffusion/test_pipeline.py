"""The pipeline and its samplers against data whose best denoiser is known."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel

from galaxy_diffusion.generation import generate_batch, generate_trajectory, load_pipeline, weights_hash
from galaxy_diffusion.pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.schedulers import SCHEDULERS, make_scheduler
from gz2_dataset import UserError

NAMES = {0: "dark", 1: "bright"}
MEANS, SPREAD = torch.tensor([-0.5, 0.5, 0.0]), 0.1


def small_unet() -> UNet2DModel:
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        num_class_embeds=3,
    )


class BestDenoiser(UNet2DModel):
    """Knows that pixels of class c are normal with mean MEANS[c] and deviation SPREAD; the last class is null."""

    def prepare_for(self, scheduler: DDPMScheduler) -> "BestDenoiser":
        self.alphas_cumprod, self.target = scheduler.alphas_cumprod, scheduler.config.prediction_type
        return self

    def forward(self, sample, timestep, class_labels, return_dict=True):
        time = torch.as_tensor(timestep, dtype=torch.float64).clamp(0, 999)
        low = time.floor().long()
        high = (low + 1).clamp(max=999)
        log_alpha = torch.lerp(
            self.alphas_cumprod[low].log().double(), self.alphas_cumprod[high].log().double(), time - low
        )
        alpha = log_alpha.exp().float()
        mean = MEANS[class_labels].view(-1, 1, 1, 1)
        residual = sample - alpha.sqrt() * mean
        noise = (1 - alpha).sqrt() * residual / (alpha * SPREAD**2 + 1 - alpha)
        clean = (sample - (1 - alpha).sqrt() * noise) / alpha.sqrt()
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        return type("Output", (), {"sample": noise if self.target == "epsilon" else velocity})()


def best_pipeline(prediction_type: str, sampler: str) -> ClassConditionalDDPMPipeline:
    schedule = "linear" if prediction_type == "epsilon" else "squaredcos_cap_v2"
    trained_with = DDPMScheduler(beta_schedule=schedule, prediction_type=prediction_type)
    unet = BestDenoiser(**{k: v for k, v in small_unet().config.items() if not k.startswith("_")}).prepare_for(
        trained_with
    )
    pipeline = ClassConditionalDDPMPipeline(unet, make_scheduler(sampler, trained_with), NAMES)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_every_sampler_draws_from_the_distribution(sampler, prediction_type):
    """With the best denoiser, samples have the mean of their class and the spread of the data."""
    pipeline = best_pipeline(prediction_type, sampler)
    steps = 1000 if sampler == "ddpm" else 100
    labels = [0] * 6 + ["bright"] * 6
    generators = [torch.Generator().manual_seed(i) for i in range(12)]
    images = pipeline(labels, num_inference_steps=steps, generator=generators, output_type="pt").images * 2 - 1
    for label in (0, 1):
        mine = images[6 * label : 6 * label + 6]
        assert mine.mean() == pytest.approx(float(MEANS[label]), abs=0.02)
        assert mine.std() == pytest.approx(SPREAD, abs=0.02)


def test_guidance_moves_away_from_the_null_class():
    pipeline = best_pipeline("epsilon", "ddim")
    means = []
    for scale in (0.0, 1.0, 1.5):
        images = pipeline([1] * 4, scale, 50, torch.Generator().manual_seed(0), output_type="pt").images
        means.append(float(images.mean()) * 2 - 1)
    assert means[0] == pytest.approx(0.0, abs=0.03)  # the null class alone
    assert means[1] == pytest.approx(0.5, abs=0.03)
    assert means[2] > means[1] + 0.1


def untrained(sampler: str = "dpmsolver++") -> ClassConditionalDDPMPipeline:
    pipeline = ClassConditionalDDPMPipeline(small_unet(), make_scheduler(sampler, DDPMScheduler()), NAMES)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_an_image_does_not_depend_on_its_batch(sampler):
    pipeline, labels, seeds = untrained(sampler), [0, 1, 0, 1, 0], [3, 1, 4, 1, 5]
    together = generate_batch(pipeline, labels, seeds, 2.0, 6).astype(int)
    for i, (label, seed) in enumerate(zip(labels, seeds, strict=True)):
        alone = generate_batch(pipeline, [label], [seed], 2.0, 6).astype(int)
        assert np.abs(alone[0] - together[i]).max() <= 1
    assert np.abs(together[1] - together[0]).max() > 1


def test_labels_by_name_and_index_agree_and_unknown_ones_are_refused():
    pipeline = untrained()
    assert [pipeline.label_of(label) for label in ("dark", 0, "bright", 1)] == [0, 0, 1, 1]
    for wrong in ("ring", 2, -1):
        with pytest.raises(ValueError, match="unknown class"):
            pipeline([wrong])


def test_a_saved_pipeline_generates_the_same(tmp_path):
    pipeline = untrained()
    pipeline.save_pretrained(tmp_path)
    again = load_pipeline(str(tmp_path), "dpmsolver++", torch.device("cpu"))
    assert again.class_names == ["dark", "bright"]
    assert weights_hash(again) == weights_hash(pipeline)
    np.testing.assert_array_equal(
        generate_batch(again, [0, 1], [0, 1], 1.0, 4), generate_batch(pipeline.to("cpu"), [0, 1], [0, 1], 1.0, 4)
    )
    assert not list(tmp_path.rglob("*.bin")), "safetensors only"


def test_the_hash_tells_weights_apart():
    pipeline, other = untrained(), untrained()
    assert weights_hash(pipeline) == weights_hash(other)
    with torch.no_grad():
        next(other.unet.parameters()).view(-1)[0] += 1e-3
    assert weights_hash(pipeline) != weights_hash(other)


def test_what_is_no_model_is_refused(tmp_path):
    for model, complaint in [(str(tmp_path), "no model_index.json"), ("/no/model", "no such model folder")]:
        with pytest.raises(UserError, match=complaint):
            load_pipeline(model, "ddim", torch.device("cpu"))
    with pytest.raises(UserError, match="no scheduler 'dpm'"):
        make_scheduler("dpm", DDPMScheduler())


@pytest.mark.parametrize(("sampler", "steps"), [("ddpm", 1000), ("ddpm", 50), ("ddim", 20)])
def test_a_trajectory_goes_from_noise_to_the_image(sampler, steps):
    pipeline = best_pipeline("epsilon", sampler)
    frames, timesteps = generate_trajectory(pipeline, 7, 1.0, steps, every=100)
    assert frames.shape == (2, 11, 8, 8, 3)
    assert timesteps.tolist() == list(range(1000, -1, -100))
    np.testing.assert_allclose(frames[:, -1], generate_batch(pipeline, [0, 1], [7, 7], 1.0, steps), atol=1)
    np.testing.assert_array_equal(frames[0, 0], frames[1, 0])  # the same noise
    spread = frames.astype(float).std(axis=(2, 3, 4)).mean(axis=0)
    assert spread[0] > 2 * spread[-1]
