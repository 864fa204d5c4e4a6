"""The VAE's parts: priors of the classes, what is learned about pixels, the pipeline."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import pixel_shuffle

from galaxy_diffusion.generators.batches import Batch, to_model_range
from galaxy_diffusion.generators.vae import (
    ROUNDING,
    ConditionalVAE,
    VAEConfig,
    finished_pipeline,
    make_vae,
    pixel_losses,
    standardized_patches,
)
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline, weights_hash
from galaxy_diffusion.sampling.vae_pipeline import ClassPrior, ConditionalVAEPipeline
from galaxy_diffusion.shared.symmetry import turn
from gz2_dataset import UserError

NAMES = ("red", "blue")
FORMAT = ImageFormat((-0.5, -0.4, -0.6), 0.3, 2)
SETTINGS = VAEConfig(patch_size=2, block_out_channels=[8, 16], latent_channels=3, class_channels=2, norm_num_groups=4)


def small_net() -> ConditionalVAE:
    torch.manual_seed(0)
    net = make_vae(SETTINGS, 16, len(NAMES) + 1)
    for table in net.prior.parameters():
        torch.nn.init.normal_(table)
    return net


def small_pipeline() -> ConditionalVAEPipeline:
    return finished_pipeline(small_net(), NAMES, FORMAT)


def test_the_rate_is_the_divergence_from_the_prior_of_the_class():
    net, labels = small_net(), torch.tensor([0, 2, 1])
    patches = torch.randn(3, 12, 8, 8)
    _, _, rate = net(patches, labels, torch.zeros(3, 3, 4, 4))
    posterior = net.posterior(patches)
    prior = Normal(net.prior.mean[labels], torch.exp(net.prior.log_variance[labels] / 2))
    expected = kl_divergence(Normal(posterior.mean, posterior.std), prior).sum(dim=(1, 2, 3))
    torch.testing.assert_close(rate, expected, rtol=1e-4, atol=1e-4)


def test_the_rate_is_nothing_where_the_prior_is_the_posterior():
    net = small_net()
    patches = torch.randn(1, 12, 8, 8)
    posterior = net.posterior(patches)
    with torch.no_grad():
        net.prior.mean[1], net.prior.log_variance[1] = posterior.mean[0], posterior.logvar[0]
    rates = [net(patches, torch.tensor([label]), torch.zeros(1, 3, 4, 4))[2].item() for label in (0, 1)]
    assert rates[1] == pytest.approx(0, abs=1e-4)
    assert rates[0] > 1


def test_the_mean_is_learned_by_its_error_and_the_variance_by_the_likelihood():
    decoded, patches = torch.randn(2, 6, 4, 4, requires_grad=True), torch.randn(2, 3, 4, 4)
    error, misfit = pixel_losses(decoded, patches)
    mean, log_variance = decoded.detach().chunk(2, dim=1)
    torch.testing.assert_close(error, (mean - patches).square().mean(dim=(1, 2, 3)))
    expected = -Normal(mean, torch.exp(log_variance / 2)).log_prob(patches).mean(dim=(1, 2, 3))
    torch.testing.assert_close(misfit, expected)
    of_error = torch.autograd.grad(error.sum(), decoded, retain_graph=True)[0].chunk(2, dim=1)
    of_misfit = torch.autograd.grad(misfit.sum(), decoded)[0].chunk(2, dim=1)
    assert (of_error[1] == 0).all()
    assert (of_misfit[0] == 0).all()
    assert (of_error[0] != 0).any()
    assert (of_misfit[1] != 0).any()


def test_patches_are_turned_and_standardised_and_rounding_is_made_good():
    images = torch.randint(256, (4, 8, 8, 3), dtype=torch.uint8)
    symmetry = torch.tensor([0, 1, 5, 7])
    batch = Batch(images, torch.zeros(4, dtype=torch.int64), symmetry, torch.zeros(4), torch.tensor([5, 6, 7, 8]))
    patches = standardized_patches(batch, FORMAT, torch.device("cpu"))
    plain = turn(FORMAT.standardize(to_model_range(images, torch.device("cpu"))), symmetry)
    difference = (pixel_shuffle(patches, 2) - plain) * FORMAT.image_std
    assert float(difference.std()) == pytest.approx(ROUNDING, rel=0.1)
    assert float(torch.rand(100_000).mul(2 / 255).std()) == pytest.approx(ROUNDING, rel=0.01), "of a grey level"


@pytest.mark.parametrize("told_by", ["mean", "log_variance", "vector"])
def test_a_class_is_told_by_its_prior_and_its_vector_alone(told_by):
    pipeline = small_pipeline()
    with torch.no_grad():
        for name, table in pipeline.prior.named_parameters():
            table[1] = table[0] + 2 * (name == told_by)
    red, blue = generate_batch(pipeline, [0, 1], [3, 3])
    assert (red != blue).any()
    with torch.no_grad():
        for table in pipeline.prior.parameters():
            table[1] = table[0]
    same = generate_batch(pipeline, [0, 1], [3, 3])
    np.testing.assert_array_equal(same[0], same[1])


def test_latents_are_drawn_from_the_prior():
    prior = ClassPrior(2, latent_channels=1, latent_size=1)
    with torch.no_grad():
        prior.mean[1], prior.log_variance[1] = 5.0, np.log(4.0)
    pipeline, seen = ConditionalVAEPipeline(small_net().vae, prior, dict(enumerate(NAMES)), patch_size=2), []
    pipeline.vae.decode = lambda latents: seen.append(latents) or type("D", (), {"sample": torch.zeros(400, 24, 2, 2)})
    seeds = [torch.Generator().manual_seed(seed) for seed in range(400)]
    pipeline(["blue"] * 400, generator=seeds, output_type="np", pixel_noise=False)
    drawn = seen[0][:, :1]  # the channels after it say the class
    assert float(drawn.mean()) == pytest.approx(5, abs=4 * 2 / 20)
    assert float(drawn.std()) == pytest.approx(2, rel=0.15)


def test_the_sky_gets_the_noise_that_the_decoder_finds_in_it_and_so_does_the_galaxy():
    pipeline = small_pipeline()
    log_variance = torch.full((1, 12, 8, 8), np.log(0.1**2))
    log_variance[:, :, 3:5, 3:5] = 0.0  # a galaxy in the middle, about which it is unsure
    decoded = torch.cat([torch.zeros(1, 12, 8, 8), log_variance], dim=1)
    pipeline.vae.decode = lambda latents: type("D", (), {"sample": decoded.expand(len(latents), -1, -1, -1)})
    seeds = [torch.Generator().manual_seed(seed) for seed in range(50)]
    images = pipeline([0] * 50, generator=seeds, output_type="np").images * 2 - 1
    expected = 0.1 * FORMAT.image_std
    assert images[:, :6, :6].std(axis=(0, 1, 2)) == pytest.approx(expected, rel=0.1)
    assert images[:, 6:10, 6:10].std(axis=(0, 1, 2)) == pytest.approx(expected, rel=0.15)
    assert images.mean(axis=(0, 1, 2)) == pytest.approx(np.array(FORMAT.image_mean), abs=0.01)
    means = pipeline([0, 0], generator=seeds[:2], output_type="np", pixel_noise=False).images
    assert np.ptp(means, axis=(0, 1, 2)).max() < 1e-6


def test_an_image_depends_on_its_seed_and_class_alone():
    pipeline = small_pipeline()
    labels, seeds = [0, 1, 0, 1, 1], list(range(5))
    together = generate_batch(pipeline, labels, seeds).astype(int)
    alone = [generate_batch(pipeline, [label], [seed])[0] for label, seed in zip(labels, seeds, strict=True)]
    assert np.abs(together - np.stack(alone)).max() <= 1
    assert (generate_batch(pipeline, [0, 0], [3, 4])[0] != generate_batch(pipeline, [0, 0], [3, 4])[1]).any()


def test_it_is_saved_and_loaded_without_code_of_the_folder(tmp_path):
    pipeline = small_pipeline()
    pipeline.save_pretrained(tmp_path)
    images = generate_batch(pipeline, [0, 1], [0, 1])
    for file in (tmp_path / "pipeline.py", tmp_path / "prior/pipeline.py"):
        file.write_text("raise SystemExit('the code of the folder was run')")
    loaded = load_pipeline(str(tmp_path), "dpmsolver++", torch.device("cpu"))
    assert isinstance(loaded, ConditionalVAEPipeline)
    assert loaded.class_names == list(NAMES)
    assert weights_hash(loaded) == weights_hash(pipeline)
    np.testing.assert_array_equal(generate_batch(loaded, [0, 1], [0, 1]), images)
    with pytest.raises(ValueError, match="unknown class 'green'; this model knows red, blue"):
        loaded(["green"])


def test_half_precision_is_the_nets_alone(tmp_path):
    small_pipeline().save_pretrained(tmp_path)
    full, half = (load_pipeline(str(tmp_path), "dpmsolver++", torch.device("cpu"), kind) for kind in ("no", "bf16"))
    exact, rounded = (generate_batch(pipeline, [0, 1], [0, 1]).astype(int) for pipeline in (full, half))
    assert 0 < np.abs(rounded - exact).max() < 8
    assert next(half.vae.parameters()).dtype == torch.float32


def test_the_hash_of_the_weights_is_that_of_all_nets():
    pipeline = small_pipeline()
    before = weights_hash(pipeline)
    with torch.no_grad():
        pipeline.prior.mean[0] += 1
    assert weights_hash(pipeline) != before


@pytest.mark.slow
@pytest.mark.usefixtures("warm_python")
def test_others_load_the_folder_without_this_package(tmp_path):
    pipeline = small_pipeline()
    pipeline.save_pretrained(tmp_path / "model")
    code = f"""
import sys
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained({str(tmp_path / "model")!r}, trust_remote_code=True)
import torch
image = pipe(class_labels=["blue"], generator=[torch.Generator().manual_seed(5)], output_type="np").images[0]
assert not any(name.startswith("galaxy_diffusion") for name in sys.modules)
print(float(image.sum()))
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    image = pipeline(class_labels=["blue"], generator=[torch.Generator().manual_seed(5)], output_type="np").images[0]
    assert float(said.split()[-1]) == pytest.approx(float(image.sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("resolution", "change", "complaint"),
    [
        (18, {}, "9 patches a side cannot be halved 1 times"),
        (15, {}, "does not divide into patches of 2 pixels"),
        (16, {"norm_num_groups": 5}, r"norm_num_groups 5 does not divide block_out_channels \[8, 16\]"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(resolution, change, complaint):
    with pytest.raises(UserError, match=complaint):
        make_vae(VAEConfig(**{**vars(SETTINGS), **change}), resolution, 3)
