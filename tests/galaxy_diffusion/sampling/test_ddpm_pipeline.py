"""The pipeline and its samplers against data whose best denoiser is known."""

import contextlib
import json
import logging
import math
import pickle
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel

import galaxy_diffusion.sampling.ddpm_pipeline
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline, ClassTable, ImageFormat
from galaxy_diffusion.sampling.schedulers import DEFAULT, SCHEDULERS, STOCHASTIC, make_scheduler
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline, weights_hash
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
    """Knows that pixels of class c are normal with mean MEANS[c] and a given deviation; the last class is null."""

    def prepare_for(self, scheduler: DDPMScheduler, spread: float = SPREAD) -> "BestDenoiser":
        self.spread = spread
        self.alphas_cumprod, self.target = scheduler.alphas_cumprod, scheduler.config.prediction_type
        self.class_embedding = torch.nn.Embedding.from_pretrained(MEANS[:, None])
        self.batches = []
        return self

    def forward(self, sample, timestep, class_labels, return_dict=True):
        self.batches.append(len(sample))
        time = torch.as_tensor(timestep, dtype=torch.float64).clamp(0, 999)
        low = time.floor().long()
        high = (low + 1).clamp(max=999)
        log_alpha = self.alphas_cumprod.clamp(min=2**-24).log().double()
        alpha = torch.lerp(log_alpha[low], log_alpha[high], time - low).exp().float()
        mean = self.class_embedding(class_labels).view(-1, 1, 1, 1)
        residual = (sample - alpha.sqrt() * mean) / (alpha * self.spread**2 + 1 - alpha)
        noise, clean = (1 - alpha).sqrt() * residual, mean + alpha.sqrt() * self.spread**2 * residual
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        prediction = {"epsilon": noise, "sample": clean, "v_prediction": velocity}[self.target]
        return (prediction,)


SCHEDULES = {
    "linear": {"prediction_type": "epsilon"},
    "cosine": {"prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2"},
    "zero-SNR": {"prediction_type": "sample", "rescale_betas_zero_snr": True},
    "zero-SNR cosine": {
        "prediction_type": "v_prediction",
        "beta_schedule": "squaredcos_cap_v2",
        "rescale_betas_zero_snr": True,
    },
}


def best_pipeline(
    schedule: str, sampler: str, spread: float = SPREAD, clip_sample: bool = True
) -> ClassConditionalDDPMPipeline:
    trained_with = DDPMScheduler(clip_sample=clip_sample, **SCHEDULES[schedule])
    unet = BestDenoiser(**{k: v for k, v in small_unet().config.items() if not k.startswith("_")})
    unet.prepare_for(trained_with, spread)
    pipeline = ClassConditionalDDPMPipeline(unet, make_scheduler(sampler, trained_with), NAMES)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_every_sampler_draws_from_the_distribution(sampler, schedule):
    """With the best denoiser, samples have the mean of their class and the spread of the data."""
    pipeline = best_pipeline(schedule, sampler)
    steps = 1000 if (sampler, schedule) == ("ddpm", "linear") else 100
    images = pipeline(
        [0] * 6 + ["bright"] * 6, 1.0, num_inference_steps=steps, generator=generators(*range(12)), output_type="pt"
    ).images
    for label in (0, 1):
        mine = images[6 * label : 6 * label + 6] * 2 - 1
        assert mine.mean() == pytest.approx(float(MEANS[label]), abs=0.02)
        assert mine.std() == pytest.approx(SPREAD, abs=0.025)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_every_sampler_starts_where_there_is_nothing_but_noise(sampler, schedule, tmp_path):
    """Even from a saved model, whose config names a spacing that starts fast samplers at t = 900."""
    DDPMScheduler(**SCHEDULES[schedule]).save_pretrained(tmp_path)
    scheduler = make_scheduler(sampler, DDPMScheduler.from_pretrained(tmp_path))
    for steps in (4, 10, 25):
        scheduler.set_timesteps(steps)
        assert float(scheduler.timesteps[0]) == pytest.approx(999, abs=1.1)  # dpmsolver++ counts in whole timesteps
        assert scheduler.alphas_cumprod[999] < 2e-4


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", [sampler for sampler in SCHEDULERS if sampler != "ddpm"])
def test_ten_steps_find_the_class(sampler, schedule):
    images = best_pipeline(schedule, sampler)([0, 1] * 6, 1.0, 10, generators(*range(12)), "pt").images * 2 - 1
    for label in (0, 1):
        assert images[label::2].mean() == pytest.approx(float(MEANS[label]), abs=0.05)
        assert 0.02 < images[label::2].std() < 0.2


@pytest.mark.parametrize("spread", [0.02, 0.1, 1.0])
@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_the_recommended_steps_keep_faint_noise(sampler, spread):
    """A flat pixel noise of 0.02, the sky of a galaxy image, keeps its amplitude, as bright structure does."""
    pipeline, states = best_pipeline("cosine", sampler, spread, clip_sample=False), []
    pipeline(
        ["bright"] * 16,
        1.0,
        num_inference_steps=SCHEDULERS[sampler].steps,
        generator=generators(*range(16)),
        callback_on_step_end=lambda _, step, timestep, state: states.append(state["latents"]),
    )
    assert float(states[-1].std()) == pytest.approx(spread, rel=0.1)


def test_on_the_linear_schedule_the_default_keeps_what_exact_sampling_keeps():
    """The schedule ends at a noise level of 0.01, from which the last step goes to the mean: 0.89 of 0.02 are left."""
    images = best_pipeline("linear", DEFAULT, 0.02)(
        ["bright"] * 16,
        1.0,
        num_inference_steps=SCHEDULERS[DEFAULT].steps,
        generator=generators(*range(16)),
        output_type="pt",
    ).images
    kept = 0.02**2 / math.hypot(0.02, 0.01)
    assert 2 * float(images.std()) == pytest.approx(kept, rel=0.05)


@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_standardised_pixels_and_patches_are_undone(sampler):
    """Pixels that are normal in what the net sees are normal around their channel's mean in the image, everywhere."""
    pipeline = best_pipeline("cosine", sampler, 1.0, clip_sample=False)
    old = pipeline.unet.config
    config = {**old, "in_channels": 12, "out_channels": 12, "sample_size": old.sample_size // 2}
    unet = BestDenoiser(**{k: v for k, v in config.items() if not k.startswith("_")})
    unet.prepare_for(DDPMScheduler(**SCHEDULES["cosine"]), spread=1.0)
    format_ = ImageFormat((-0.1, -0.2, -0.3), 0.05, 2)
    pipeline = ClassConditionalDDPMPipeline(unet, pipeline.scheduler, NAMES, **asdict(format_))
    pipeline.set_progress_bar_config(disable=True)
    steps = SCHEDULERS[sampler].steps
    images = pipeline(["dark"] * 12, 1.0, steps, generators(*range(12)), output_type="pt").images * 2 - 1
    assert images.shape == (12, 3, 8, 8)
    for channel, mean in enumerate(format_.image_mean):
        assert images[:, channel].mean() == pytest.approx(mean - 0.5 * 0.05, abs=0.01)
        assert images[:, channel].std() == pytest.approx(0.05, rel=0.15)
    for corner in images[:, :, ::2, ::2], images[:, :, 1::2, ::2], images[:, :, ::2, 1::2]:
        assert corner.std() == pytest.approx(float(images.std()), rel=0.1)


def drawn_without_noise(name: str, steps: int) -> np.ndarray:
    """Two images of any net; a cosine schedule's noise level falls by a factor of 3000 in the first of ten steps."""
    trained_with = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False)
    pipeline = ClassConditionalDDPMPipeline(small_unet(), make_scheduler(name, trained_with), NAMES)
    pipeline.set_progress_bar_config(disable=True)
    return generate_batch(pipeline, [0, 1], [0, 1], guidance_scale=1.0, num_inference_steps=steps).astype(float)


@pytest.fixture(scope="module")
def solution() -> np.ndarray:
    """By steps so short that their number does not matter."""
    return drawn_without_noise("ddim", 250)


@pytest.mark.parametrize("sampler", [sampler for sampler in SCHEDULERS if sampler not in STOCHASTIC])
def test_samplers_without_noise_solve_the_same_equation(sampler, solution):
    assert np.sqrt(((drawn_without_noise(sampler, 10) - solution) ** 2).mean()) < 0.2 * solution.std()


def test_guidance_moves_away_from_the_null_class():
    pipeline = best_pipeline("linear", "ddim")
    means = []
    for scale in (0.0, 1.0, 1.5):
        images = pipeline([1] * 4, scale, 50, torch.Generator().manual_seed(0), output_type="pt").images
        means.append(float(images.mean()) * 2 - 1)
    assert means[0] == pytest.approx(0.0, abs=0.03)  # the null class alone
    assert means[1] == pytest.approx(0.5, abs=0.03)
    assert means[2] > means[1] + 0.1


def test_guidance_within_an_interval_skips_the_null_class_elsewhere():
    pipeline = best_pipeline("cosine", "dpmsolver++")

    def draw(guidance_scale, **options):
        pipeline.unet.batches.clear()
        images = pipeline([0, 1], guidance_scale, 20, generators(0, 1), output_type="pt", **options).images
        return images, list(pipeline.unet.batches)

    pipeline.set_timesteps(20, 1.0)
    alpha = pipeline.scheduler.alphas_cumprod[pipeline.scheduler.timesteps.round().long()]
    noise_level = ((1 - alpha) / alpha).sqrt()
    expected = [4 if 0.3 < sigma <= 3 else 2 for sigma in noise_level.tolist()]
    partly, batches = draw(2.0, guidance_interval=(0.3, 3.0))
    assert batches == expected
    assert 0 < batches.count(4) < 20
    plain, batches = draw(1.0)
    assert set(batches) == {2}
    nowhere, batches = draw(2.0, guidance_interval=(1e9, 1e10))
    assert set(batches) == {2}
    everywhere, batches = draw(2.0)
    assert set(batches) == {4}
    assert torch.equal(nowhere, plain)
    assert (partly - plain).abs().max() > 0.01
    assert (partly - everywhere).abs().max() > 0.01


@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_a_variation_keeps_of_its_image_what_theory_says(sampler):
    """Of a pixel with spread S, noised to sigma, a sampler of the ODE keeps a correlation of S / hypot(S, sigma).

    One that adds noise at each step draws from the posterior, which leaves the square of that.
    """
    pipeline = best_pipeline("cosine", sampler)
    real = 0.75 + SPREAD / 2 * torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(9))
    for strength in (0.02, 0.1, 1.0):
        timesteps = []
        varied = pipeline(
            ["bright"] * 8,
            1.0,
            num_inference_steps=200,
            generator=generators(*range(8)),
            output_type="pt",
            callback_on_step_end=lambda _, step, timestep, state, seen=timesteps: seen.append(round(float(timestep))),
            image=real,
            strength=strength,
        ).images
        alpha = float(pipeline.scheduler.alphas_cumprod[timesteps[0]])
        kept = SPREAD / np.hypot(SPREAD, np.sqrt((1 - alpha) / alpha))
        expected = kept**2 if sampler in STOCHASTIC else kept
        assert np.corrcoef(varied.flatten(), real.flatten())[0, 1] == pytest.approx(expected, abs=0.08)
        assert varied.mean() == pytest.approx(0.75, abs=0.02)
        assert varied.std() == pytest.approx(SPREAD / 2, abs=0.01)


def test_a_strength_takes_its_share_of_the_steps_and_images_must_fit():
    pipeline = best_pipeline("cosine", "ddim")
    real = np.full((1, 8, 8, 3), 0.5, np.float32)
    for strength, steps in ((1.0, 10), (0.6, 6), (0.01, 1)):
        pipeline.unet.batches.clear()
        pipeline([0], 1.0, 10, image=real, strength=strength)
        assert len(pipeline.unet.batches) == steps
    for strength in (0.0, 1.1):
        with pytest.raises(ValueError, match="strength"):
            pipeline([0], 1.0, 10, image=real, strength=strength)
    for wrong in (np.zeros((1, 16, 16, 3), np.float32), np.zeros((2, 8, 8, 3), np.float32)):
        with pytest.raises(ValueError, match="image: shape"):
            pipeline([0], 1.0, 10, image=wrong)


def test_noise_and_class_embeddings_may_be_given():
    pipeline = untrained()
    drawn = pipeline(["dark", "bright"], 2.0, 5, generators(1, 2), "pt").images
    noise = torch.cat([torch.randn(1, 3, 8, 8, generator=generator) for generator in generators(1, 2)])
    embeddings = pipeline.embed_classes([0, 1])
    table = pipeline.unet.class_embedding
    given = pipeline(None, 2.0, 5, None, "pt", latents=noise, class_embeddings=embeddings).images
    assert torch.equal(drawn, given)
    assert pipeline.unet.class_embedding is table
    for both_or_none in ({}, {"class_labels": [0, 1], "class_embeddings": embeddings}):
        with pytest.raises(ValueError, match="give one of"):
            pipeline(**both_or_none)


def test_votes_are_a_mixture_of_the_answers_that_the_model_has_learned():
    """Rows of a model trained on votes: dark, bright, two answers, null."""
    pipeline = best_pipeline("cosine", "ddim")
    rows = torch.tensor([0.9, 0.9, -0.6, 0.4, 0.0])
    pipeline.unet.class_embedding = ClassTable.from_pretrained(rows[:, None])
    votes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    images = pipeline(
        vote_fractions=votes,
        guidance_scale=1.0,
        num_inference_steps=30,
        generator=generators(1, 2, 3),
        output_type="pt",
    ).images
    assert (images.mean(dim=(1, 2, 3)) * 2 - 1).tolist() == pytest.approx([-0.6, 0.4, -0.1], abs=0.03)
    with pytest.raises(ValueError, match="3 vote fractions; this model was trained on 2"):
        pipeline(vote_fractions=torch.ones(1, 3))


def test_steps_that_do_not_divide_the_schedule_are_refused():
    """At 61 steps diffusers' rounding adds a step at t = -1."""
    with pytest.raises(ValueError, match="61 steps do not divide"):
        untrained("ddim")([0], 1.0, 61)


def untrained(sampler: str = "dpmsolver++") -> ClassConditionalDDPMPipeline:
    pipeline = ClassConditionalDDPMPipeline(small_unet(), make_scheduler(sampler, DDPMScheduler()), NAMES)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("varied", [False, True])
@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_an_image_does_not_depend_on_its_batch(sampler, varied):
    pipeline, labels, seeds = untrained(sampler), [0, 1, 0, 1, 0], [3, 1, 4, 1, 5]
    real = np.random.default_rng(0).random((5, 8, 8, 3), np.float32)
    options = [{"image": real[i : i + 1]} if varied else {"guidance_interval": (0.1, 10.0)} for i in range(5)]
    of_all = {"image": real} if varied else options[0]
    together = generate_batch(pipeline, labels, seeds, guidance_scale=2.0, num_inference_steps=6, **of_all).astype(int)
    for i, (label, seed) in enumerate(zip(labels, seeds, strict=True)):
        alone = generate_batch(
            pipeline, [label], [seed], guidance_scale=2.0, num_inference_steps=6, **options[i]
        ).astype(int)
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
        generate_batch(again, [0, 1], [0, 1], guidance_scale=1.0, num_inference_steps=4),
        generate_batch(pipeline.to("cpu"), [0, 1], [0, 1], guidance_scale=1.0, num_inference_steps=4),
    )
    assert not list(tmp_path.rglob("*.bin")), "safetensors only"


def test_a_model_is_saved_and_loaded_without_a_warning(tmp_path, caplog):
    logger = logging.getLogger("diffusers")  # it passes nothing on to the root, where caplog listens
    logger.addHandler(caplog.handler)
    try:
        untrained().save_pretrained(tmp_path)
        load_pipeline(str(tmp_path), "heun", torch.device("cpu"))
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.messages == []


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


@pytest.mark.parametrize("place", ["pipeline", "class", "component", "pickle"])
def test_nothing_in_a_model_of_another_is_run(tmp_path, place):
    """The code beside the weights is not run; a model that cannot load without it, or without pickle, is refused."""
    model, trace = tmp_path / "model", tmp_path / "it ran"
    untrained("ddpm").save_pretrained(model)
    for file in (model / "pipeline.py", model / "net.py", model / "unet" / "net.py"):
        file.write_text(f"open({str(trace)!r}, 'w').close()\nclass Net: pass\n")
    index = json.loads((model / "model_index.json").read_text())
    if place == "class":
        index["_class_name"] = ["pipeline", "Net"]
    elif place == "component":
        index["unet"] = ["net", "Net"]
    elif place == "pickle":
        (model / "unet" / "diffusion_pytorch_model.safetensors").unlink()
        call = f"cbuiltins\nopen\n(V{trace}\nVw\ntR."
        (model / "unet" / "diffusion_pytorch_model.bin").write_text(call)
        pickle.loads(call.encode()).close()
        assert trace.exists(), "this pickle does what it should not get to do"
        trace.unlink()
    (model / "model_index.json").write_text(json.dumps(index))
    refused = pytest.raises(UserError, match="cannot be loaded as a pipeline")
    with contextlib.nullcontext() if place == "pipeline" else refused:
        load_pipeline(str(model), "ddpm", torch.device("cpu"))
    assert not trace.exists()


STOCK = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("galaxy_diffusion", "gz2_dataset"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
try:
    import galaxy_diffusion
except ModuleNotFoundError:
    pass
else:
    sys.exit("the package is there after all")
import numpy as np, torch
from diffusers import DiffusionPipeline

folder, again, output = sys.argv[1:]
pipe = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
images = pipe(["bright", 0], 2.0, 4, [torch.Generator().manual_seed(s) for s in (5, 6)], output_type="np").images
np.save(output, images)
pipe.save_pretrained(again)
assert not {"galaxy_diffusion", "gz2_dataset"} & set(sys.modules)
"""


@pytest.mark.slow
def test_stock_diffusers_loads_the_folder_on_a_machine_without_this_package(tmp_path):
    pipeline = untrained("ddpm")
    pipeline.save_pretrained(tmp_path / "model")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-I", "-c", STOCK, tmp_path / "model", tmp_path / "again", tmp_path / "images.npy"]
    subprocess.run(command, cwd=elsewhere, check=True, capture_output=True)
    expected = pipeline(["bright", 0], 2.0, 4, generators(5, 6), output_type="np").images
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), expected, atol=1e-5)
    again = ClassConditionalDDPMPipeline.from_pretrained(tmp_path / "again")
    assert weights_hash(again) == weights_hash(pipeline)
    saved = [(tmp_path / folder / "pipeline.py").read_bytes() for folder in ("model", "again")]
    assert saved == [Path(galaxy_diffusion.sampling.ddpm_pipeline.__file__).read_bytes()] * 2


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_is_inside_the_unet_alone(precision, tmp_path):
    untrained().save_pretrained(tmp_path)
    exact = load_pipeline(str(tmp_path), "unipc", torch.device("cpu"))
    mixed = load_pipeline(str(tmp_path), "unipc", torch.device("cpu"), precision)
    inside, outside = [], []
    mixed.unet.conv_in.register_forward_hook(lambda module, inputs, output: inside.append(output.dtype))
    step = mixed.scheduler.step

    def recorded(prediction, timestep, images, **options):
        result = step(prediction, timestep, images, **options)
        outside.extend([prediction.dtype, images.dtype, result.prev_sample.dtype])
        return result

    mixed.scheduler.step = recorded
    images = [
        generate_batch(pipe, [0, 1], [0, 1], guidance_scale=2.0, num_inference_steps=5).astype(int)
        for pipe in (exact, mixed)
    ]
    assert set(inside) == {{"bf16": torch.bfloat16, "fp16": torch.float16}[precision]}
    assert set(outside) == {torch.float32}
    assert {parameter.dtype for parameter in mixed.unet.parameters()} == {torch.float32}
    assert 0 < np.abs(images[0] - images[1]).mean() < 2
