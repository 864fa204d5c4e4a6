"""The autoregressive model's parts: codes, their order, the pipeline."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from galaxy_diffusion.generators.autoregressive import (
    AutoregressiveConfig,
    autoencoder_loss,
    code_loss,
    encode,
    finished_pipeline,
    make_nets,
    perplexity,
    revive_codes,
)
from galaxy_diffusion.sampling.autoregressive_pipeline import ConditionalAutoregressivePipeline
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline, weights_hash
from gz2_dataset import UserError

NAMES = ("red", "blue")
FORMAT = ImageFormat((-0.5, -0.4, -0.6), 0.3, 2)
SETTINGS = AutoregressiveConfig(
    patch_size=2,
    block_out_channels=[8, 16],
    norm_num_groups=4,
    num_codes=7,
    code_dim=2,
    hidden_size=16,
    num_layers=2,
    num_heads=2,
)


def small_nets(**changes) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    return make_nets(AutoregressiveConfig(**{**vars(SETTINGS), **changes}), 16, len(NAMES) + 1)


def small_pipeline() -> ConditionalAutoregressivePipeline:
    vqvae, transformer = small_nets()
    torch.nn.init.normal_(vqvae.quantize.embedding.weight)
    torch.nn.init.normal_(transformer.transformer.wte.weight, std=0.3)  # of inputs and outputs: no longer uniform
    return finished_pipeline(vqvae, transformer, NAMES, FORMAT)


def test_each_code_is_the_quantile_of_what_the_transformer_foretells():
    """Without its cache, over whole sequences laid out as in training: the same distribution at every position."""
    pipeline, labels = small_pipeline(), torch.tensor([0, 1, 1, 0])
    noise = torch.randn(4, 16)
    codes = pipeline.draw_codes(labels, noise)
    tokens = torch.cat([7 + labels[:, None], codes[:, :-1]], dim=1)
    shares = pipeline.transformer(tokens).logits[:, :, :7].softmax(dim=2)
    above = shares.cumsum(dim=2).gather(2, codes[:, :, None])[:, :, 0]
    below = above - shares.gather(2, codes[:, :, None])[:, :, 0]
    quantiles = torch.special.ndtr(noise)
    assert (below <= quantiles + 1e-5).all()
    assert (quantiles <= above + 1e-5).all()
    assert codes.unique().numel() > 4


def test_codes_are_drawn_as_often_as_the_transformer_says():
    pipeline = small_pipeline()
    first = pipeline.draw_codes(torch.ones(4000, dtype=torch.int64), torch.randn(4000, 1))[:, 0]
    expected = pipeline.transformer(torch.tensor([[8]])).logits[0, 0, :7].softmax(dim=0)
    np.testing.assert_allclose(torch.bincount(first, minlength=7) / 4000, expected.detach(), atol=0.035)


def test_the_loss_is_that_of_a_guess_where_nothing_is_known():
    transformer = small_nets()[1].eval()
    torch.nn.init.zeros_(transformer.transformer.wte.weight)
    loss, figures = code_loss(transformer, torch.randint(7, (3, 16)), torch.tensor([0, 1, 2]), 7)
    assert loss.item() == pytest.approx(np.log(7), rel=1e-5)
    assert figures["code_loss"] is loss


def test_the_order_of_the_codes_is_learned_for_each_class():
    vqvae, transformer = small_nets(dropout=0.0)
    labels = torch.tensor([0, 1])
    codes = torch.stack([torch.arange(16) % 3, 6 - torch.arange(16) % 5])
    optimizer = torch.optim.AdamW(transformer.parameters(), 1e-2)
    for _ in range(60):
        loss, _ = code_loss(transformer, codes, labels, 7)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pipeline = finished_pipeline(vqvae, transformer, NAMES, FORMAT)
    drawn = pipeline.draw_codes(labels.repeat(20), torch.randn(40, 16))
    assert (drawn == codes.repeat(20, 1)).float().mean() > 0.9


def test_the_perplexity_counts_the_codes_in_use():
    assert float(perplexity(torch.zeros(100, dtype=torch.int64), 7)) == pytest.approx(1)
    assert float(perplexity(torch.arange(70) % 7, 7)) == pytest.approx(7)


def test_codes_that_are_out_of_reach_are_revived():
    vqvae, patches = small_nets()[0], torch.randn(8, 12, 8, 8)
    table = vqvae.quantize.embedding.weight
    with torch.no_grad():
        table[1:] += 100  # as after a collapse: all but one are far from everything
        table[0] = encode(vqvae, patches)[0].mean(dim=(0, 1))
    kept = table[0].clone()
    assert float(perplexity(encode(vqvae, patches)[1], 7)) == pytest.approx(1)
    revive_codes(Accelerator(cpu=True), vqvae, patches, seed=0)
    assert float(perplexity(encode(vqvae, patches)[1], 7)) > 4
    assert torch.equal(table[0], kept), "a code in use stays"


def test_an_autoencoder_learns_images_by_heart_with_all_its_codes():
    vqvae, _ = small_nets()
    colours = torch.randn(8, 12, 1, 1).expand(-1, -1, 8, 8).contiguous()
    optimizer = torch.optim.AdamW(vqvae.parameters(), 5e-3)
    for step in range(100):
        if step % 10 == 0 and step < 50:
            revive_codes(Accelerator(cpu=True), vqvae, colours, seed=step)
        loss, figures = autoencoder_loss(vqvae, colours)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert figures["error"].item() < 0.5 * float(colours.var())
    assert float(perplexity(encode(vqvae, colours)[1], 7)) > 4


def test_an_image_depends_on_its_seed_and_class_alone():
    pipeline = small_pipeline()
    labels, seeds = [0, 1, 0, 1, 1], list(range(5))
    together = generate_batch(pipeline, labels, seeds).astype(int)
    alone = [generate_batch(pipeline, [label], [seed])[0] for label, seed in zip(labels, seeds, strict=True)]
    assert np.abs(together - np.stack(alone)).max() <= 1
    assert (generate_batch(pipeline, [0, 1], [3, 3])[0] != generate_batch(pipeline, [0, 1], [3, 3])[1]).any()
    assert (generate_batch(pipeline, [0, 0], [3, 4])[0] != generate_batch(pipeline, [0, 0], [3, 4])[1]).any()


def test_it_is_saved_and_loaded_without_code_of_the_folder(tmp_path):
    pipeline = small_pipeline()
    pipeline.save_pretrained(tmp_path)
    images = generate_batch(pipeline, [0, 1], [0, 1])
    (tmp_path / "pipeline.py").write_text("raise SystemExit('the code of the folder was run')")
    loaded = load_pipeline(str(tmp_path), "dpmsolver++", torch.device("cpu"))
    assert isinstance(loaded, ConditionalAutoregressivePipeline)
    assert loaded.class_names == list(NAMES)
    assert weights_hash(loaded) == weights_hash(pipeline)
    np.testing.assert_array_equal(generate_batch(loaded, [0, 1], [0, 1]), images)
    with pytest.raises(ValueError, match="unknown class 'green'; this model knows red, blue"):
        loaded(["green"])


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
    ("change", "complaint"),
    [
        ({"block_out_channels": [8] * 5}, "8 patches a side cannot be halved 4 times"),
        ({"norm_num_groups": 5}, "norm_num_groups 5 does not divide"),
        ({"num_heads": 3}, "num_heads 3 does not divide hidden_size 16"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, complaint):
    with pytest.raises(UserError, match=complaint):
        small_nets(**change)
