"""SAGAN's parts: nets, losses, augmentation, the pipeline, and the measure that detects a collapse."""

import copy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from galaxy_diffusion.generators import sagan_collapse
from galaxy_diffusion.generators.sagan_augmentation import KINDS, augment, cut_out, recolour, shift
from galaxy_diffusion.generators.sagan_collapse import Diversity, collapsed, nearest_distances
from galaxy_diffusion.generators.sagan_nets import (
    SAGANConfig,
    finished_pipeline,
    make_nets,
    plain_generator,
    standing_statistics,
)
from galaxy_diffusion.generators.sagan_objective import discriminator_loss, generator_loss, saturation
from galaxy_diffusion.sampling.sagan_pipeline import (
    ConditionalBatchNorm,
    ConditionalSAGANPipeline,
    SAGANGenerator,
    SelfAttention,
)
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline, weights_hash
from gz2_dataset import GalaxyArrays, UserError

NAMES = ("red", "blue")
SETTINGS = SAGANConfig(latent_dim=6, block_out_channels=[8, 8, 16], attention_levels=[1], discriminator_gain=2.0)


def galaxies(count: int = 12, side: int = 16) -> GalaxyArrays:
    images = np.random.default_rng(0).integers(256, size=(2 * count, side, side, 3), dtype=np.uint8)
    return GalaxyArrays(images, np.arange(2 * count) % 2, [], [], NAMES)


def small_nets() -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    return make_nets(SETTINGS, galaxies())


def small_pipeline() -> ConditionalSAGANPipeline:
    generator = small_nets()[0]
    for name, table in generator.named_parameters():
        if name.endswith(("gain.weight", "bias.weight")):
            torch.nn.init.normal_(table)
    return finished_pipeline(generator, galaxies(), class_balance=0.5)


def largest_singular_values(net: torch.nn.Module) -> dict[str, float]:
    return {
        name: float(torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2))
        for name, module in net.named_modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) or name == "class_embedding"
    }


def test_spectral_normalisation_bounds_every_weight_while_the_nets_learn():
    generator, discriminator = small_nets()
    optimizer = torch.optim.Adam([*generator.parameters(), *discriminator.parameters()], lr=0.02)
    labels = torch.arange(8) % 2
    before = [weight.detach().clone() for weight in discriminator.parameters()]
    for _ in range(30):
        loss = discriminator(generator(torch.randn(8, 6), labels), labels).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = [weight.detach() for weight in discriminator.parameters()]
    assert max(float((now - then).abs().max()) for now, then in zip(after, before, strict=True)) > 0.1
    raw = discriminator.score.parametrizations.weight.original.detach()
    assert torch.linalg.matrix_norm(raw, 2) > 1.05, "else nothing was to be bounded"
    for net in (generator, discriminator):
        for _ in range(30):  # what one power iteration per training step converges to
            net(torch.randn(4, 6) if net is generator else torch.randn(4, 3, 16, 16), labels[:4])
        for name, value in largest_singular_values(net.eval()).items():
            assert value == pytest.approx(1, abs=0.05), name


def test_plain_weights_have_a_singular_value_of_one_and_the_old_direction():
    generator = small_nets()[0].eval()
    raw = generator.output.parametrizations.weight.original.detach() * 1.0
    with torch.no_grad():
        generator.output.parametrizations.weight.original.mul_(7.0)
    plain = plain_generator(generator)
    assert not any("parametrizations" in name for name in plain.state_dict())
    assert all(value == pytest.approx(1, abs=1e-4) for value in largest_singular_values(plain).values())
    cosine = torch.nn.functional.cosine_similarity(plain.output.weight.flatten(), raw.flatten(), dim=0)
    assert float(cosine.detach()) == pytest.approx(1, abs=1e-5)


def test_classes_have_gains_of_their_own():
    norm = ConditionalBatchNorm(4, 2)
    features = torch.randn(16, 4, 5, 5) * 3 + 2
    labels = torch.arange(16) % 2
    torch.testing.assert_close(
        norm(features, labels), torch.nn.functional.batch_norm(features, None, None, training=True)
    )
    with torch.no_grad():
        norm.gain.weight[1], norm.bias.weight[1] = 3.0, -1.0
    out = norm(features, labels)
    plain = torch.nn.functional.batch_norm(features, None, None, training=True)
    torch.testing.assert_close(out[0::2], plain[0::2])
    torch.testing.assert_close(out[1::2], 3 * plain[1::2] - 1)


def test_self_attention_starts_as_identity_and_then_sees_everything():
    attention = SelfAttention(16)
    features = torch.randn(2, 16, 4, 4)
    assert torch.equal(attention(features), features)
    torch.nn.init.ones_(attention.gamma)
    changed = features.clone()
    changed[0, :, 0, 0] += 5
    difference = (attention(changed) - attention(features)).abs().amax(dim=1)
    assert (difference[0] > 1e-5).all(), "a change in a corner is felt everywhere"
    assert (difference[1] == 0).all(), "and not in another image"


def test_the_hinge_losses_are_those_of_the_paper():
    real, generated = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0, 1.0])
    assert float(discriminator_loss(real, generated)) == pytest.approx((0 + 0.5 + 2) / 3 + (0 + 1 + 2) / 3)
    assert float(generator_loss(generated)) == pytest.approx(2 / 3)
    assert float(saturation(real, generated)) == pytest.approx(2 / 6)


def test_the_discriminator_projects_on_the_class():
    discriminator = small_nets()[1].eval()
    images = torch.randn(3, 3, 16, 16)
    red, blue = (discriminator(images, torch.full((3,), label)) for label in (0, 1))
    assert not torch.allclose(red, blue)
    table = discriminator.class_embedding.parametrizations.weight.original
    with torch.no_grad():
        table[1] = table[0]
    torch.testing.assert_close(*(discriminator(images, torch.full((3,), label)) for label in (0, 1)))


@pytest.mark.parametrize(("side", "levels", "start"), [(224, 6, 7), (32, 4, 4), (28, 3, 7)])
def test_the_start_follows_from_the_resolution(side, levels, start):
    settings = SAGANConfig(latent_dim=4, block_out_channels=[8] * levels, attention_levels=[2])
    generator, discriminator = make_nets(settings, galaxies(side=side))
    assert generator.start == start
    images = generator(torch.randn(2, 4), torch.tensor([0, 1]))
    assert images.shape == (2, 3, side, side)
    assert discriminator(images, torch.tensor([0, 1])).shape == (2,)


def test_the_discriminator_sees_faint_and_bright_galaxies_alike():
    bright = galaxies()
    faint = replace(bright, images=bright.images // 8)
    seen = [
        (torch.from_numpy(data.images / 127.5 - 1).mean() - net.config.pixel_mean, net.config.pixel_scale)
        for data, net in ((data, make_nets(SETTINGS, data)[1]) for data in (bright, faint))
    ]
    for mean, _ in seen:
        assert mean == pytest.approx(0, abs=1e-6)
    assert seen[0][1] == pytest.approx(bright.images.std() / 127.5 / 2, rel=1e-6), "a gain of 2"
    assert seen[0][1] / seen[1][1] == pytest.approx(8, rel=0.01)
    _, discriminator = make_nets(SETTINGS, bright)
    images, labels = torch.rand(3, 3, 16, 16), torch.tensor([0, 1, 0])
    scores = discriminator.eval()(images, labels)
    discriminator.register_to_config(pixel_mean=0.0, pixel_scale=1.0)
    mean, scale = bright.images.mean() / 127.5 - 1, bright.images.std() / 127.5 / 2
    torch.testing.assert_close(scores, discriminator((images - mean) / scale, labels), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("side", "attention_level", "complaint"),
    [(18, 1, "18 pixels a side cannot be halved 2 times"), (16, 3, "3 is not between 1 and 2")],
)
def test_shapes_that_do_not_fit_are_refused(side, attention_level, complaint):
    with pytest.raises(UserError, match=complaint):
        make_nets(replace(SETTINGS, attention_levels=[attention_level]), galaxies(side=side))


def test_standing_statistics_are_those_of_the_mixture():
    generator = plain_generator(small_nets()[0])
    latents, labels = torch.randn(128, 6), torch.arange(128) % 2
    standing_statistics(generator, latents, labels)
    images = generator(latents, labels)
    in_training = generator.train()(latents, labels)
    torch.testing.assert_close(images, in_training, atol=0.1, rtol=0.1)
    assert not generator.eval().training


@pytest.mark.parametrize("kind", KINDS)
def test_an_augmentation_belongs_to_its_image_and_lets_gradients_through(kind):
    images = torch.rand(6, 3, 16, 16).requires_grad_()
    seeds = torch.arange(10, 16)
    whole = augment(images, [kind], seeds)
    assert not torch.equal(whole, images)
    parts = torch.cat([augment(images[i : i + 1], [kind], seeds[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(whole, parts)
    whole.sum().backward()
    assert images.grad.isfinite().all()
    assert (images.grad != 0).any()


def test_augmentations_do_what_they_say():
    image = torch.linspace(-1, 1, 64).view(1, 1, 8, 8).repeat(1, 3, 1, 1)
    torch.testing.assert_close(recolour(image, torch.tensor([[0.9, 0.5, 0.5]])), image + 0.4)
    torch.testing.assert_close(recolour(image, torch.tensor([[0.5, 0.5, 0.0]])), 0.5 * image)
    middle = torch.tensor([[0.5, 0.5]])
    assert torch.equal(shift(image, middle), image)
    down = shift(image, torch.tensor([[0.99, 0.5]]))
    assert torch.equal(down[:, :, :-1], image[:, :, 1:])
    assert torch.equal(down[:, :, -1], image[:, :, -1])
    cut = cut_out(torch.ones(1, 3, 8, 8), middle)
    assert (cut == 0).sum() == 3 * 5 * 5
    assert (cut[:, :, 2:7, 2:7] == 0).all()


class Drawing:
    """A generator that returns the given images, whatever it is asked for."""

    def __init__(self, images: np.ndarray):
        self.images = images

    def __call__(self, labels: list[int], seeds: list[int]) -> np.ndarray:
        return self.images[[seed % len(self.images) for seed in seeds]]


def test_collapse_is_told_from_real_images(monkeypatch):
    monkeypatch.setattr(sagan_collapse, "PER_CLASS", 30)
    real, more = galaxies(30), galaxies(60).images[60:]
    measure = Diversity(real)
    noise = {"saturation": 0.5, "loss": 1.2}
    well = measure(Drawing(more), 0)
    assert well["diversity/red"] == pytest.approx(1, abs=0.05)
    assert collapsed(well | noise) == []
    constant = measure(Drawing(more[:1]), 0)
    assert constant["diversity"] == 0
    assert [line.partition(":")[0] for line in collapsed(constant | noise)] == ["red", "blue"]
    few_modes = measure(Drawing(more[:6]), 0)
    assert len(collapsed(few_modes | noise)) == 2, "30 images of which only 6 differ"
    assert collapsed(measure(Drawing(more[:25]), 0) | noise) == []
    assert collapsed(well | noise | {"saturation": 0.99}) == ["discriminator: sure of 99% of the images"]


@pytest.mark.parametrize("constant", [0.0, 0.7, -3.0])
def test_a_discriminator_that_tells_nothing_apart_is_found(constant):
    def of(real: torch.Tensor, generated: torch.Tensor) -> list[str]:
        loss, sure = discriminator_loss(real, generated), saturation(real, generated)
        return collapsed({"loss": loss.item(), "saturation": sure.item()})

    same, apart = torch.full((8,), constant), torch.linspace(-1, 1, 8)
    assert "tells nothing apart" in of(same, same)[0]
    assert "tells nothing apart" in of(apart, apart)[0], "scores that do not depend on what is real"
    assert of(apart + 0.1, apart - 0.1) == []


def test_nearest_distances_are_those_of_a_slow_reference():
    images = galaxies(5).images
    slow = [
        min(np.sqrt(np.mean((a.astype(float) - b) ** 2)) for j, b in enumerate(images) if j != i)
        for i, a in enumerate(images)
    ]
    np.testing.assert_allclose(nearest_distances(images), slow)


def test_an_image_depends_on_its_seed_and_class_alone():
    pipeline = small_pipeline()
    labels, seeds = [0, 1, 0, 1, 0, 1, 1], list(range(7))
    together = generate_batch(pipeline, labels, seeds).astype(int)
    alone = [generate_batch(pipeline, [label], [seed])[0] for label, seed in zip(labels, seeds, strict=True)]
    assert np.abs(together - np.stack(alone)).max() <= 1
    assert (generate_batch(pipeline, [0, 1], [3, 3])[0] != generate_batch(pipeline, [0, 1], [3, 3])[1]).any()
    assert (generate_batch(pipeline, [0, 0], [3, 4])[0] != generate_batch(pipeline, [0, 0], [3, 4])[1]).any()


def test_it_is_saved_and_loaded_as_a_diffusers_pipeline(tmp_path):
    pipeline = small_pipeline()
    pipeline.save_pretrained(tmp_path)
    images = generate_batch(pipeline, ["red", "blue"], [0, 1])
    loaded = load_pipeline(str(tmp_path), "dpmsolver++", torch.device("cpu"))
    assert isinstance(loaded.generator_net, SAGANGenerator)
    assert loaded.class_names == list(NAMES)
    assert weights_hash(loaded) == weights_hash(pipeline)
    np.testing.assert_array_equal(generate_batch(loaded, [0, 1], [0, 1]), images)
    assert (tmp_path / "generator_net/diffusion_pytorch_model.safetensors").exists()
    with pytest.raises(ValueError, match="unknown class 'green'; this model knows red, blue"):
        loaded(["green"])


def test_loading_runs_no_code_of_the_folder(tmp_path):
    small_pipeline().save_pretrained(tmp_path)
    for file in (tmp_path / "pipeline.py", tmp_path / "generator_net/pipeline.py"):
        file.write_text("raise SystemExit('the code of the folder was run')")
    load_pipeline(str(tmp_path), "dpmsolver++", torch.device("cpu"))
    weights = tmp_path / "generator_net/diffusion_pytorch_model.safetensors"
    torch.save(torch.nn.Linear(1, 1).state_dict(), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(UserError, match="cannot be loaded as a pipeline"):
        load_pipeline(str(tmp_path), "dpmsolver++", torch.device("cpu"))


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


def test_a_finished_pipeline_is_a_function_of_the_weights():
    generator = small_nets()[0]
    first = finished_pipeline(copy.deepcopy(generator), galaxies(), 0.5)
    for _ in range(3):
        generator(torch.randn(8, 6), torch.arange(8) % 2)  # moves the statistics and estimates, no weight
    assert weights_hash(finished_pipeline(generator, galaxies(), 0.5)) == weights_hash(first)
