"""Starting from a trained net: rows by name, the rest kept; LoRA that merges without a trace."""

import builtins
import copy
from dataclasses import asdict

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel

from galaxy_diffusion.generators.conditioning import NUM_VOTES, Conditioning, class_rows_from_votes, learn_votes
from galaxy_diffusion.generators.fine_tuning import add_lora, load_parent, merge_lora, save_adapter
from galaxy_diffusion.generators.monitoring import averaged
from galaxy_diffusion.generators.objective import make_noise_scheduler
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline, ImageFormat
from gz2_dataset import VOTE_COLUMNS, GalaxyArrays, UserError
from tests.galaxy_diffusion.sampling.test_ddpm_pipeline import NAMES, small_unet


@pytest.fixture
def saved(tmp_path):
    pipeline = ClassConditionalDDPMPipeline(small_unet(), DDPMScheduler(), NAMES)
    pipeline.save_pretrained(tmp_path)
    return pipeline.unet, str(tmp_path)


def look(unet, label: int | torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    labels = torch.tensor([label]) if isinstance(label, int) else label
    with torch.no_grad():
        return unet(torch.randn(1, 3, 8, 8, generator=generator), 7, labels, return_dict=False)[0]


def test_known_classes_are_kept_and_new_ones_differ_from_all_as_known_ones_do(saved):
    """New ones once began as the null class, and generated the same images after 350 steps."""
    old, folder = saved
    parent = load_parent(folder)
    new = parent.net_for(Conditioning(("ring", "bright", "merger")).row_names, 8)
    for row, was in {1: 1, 3: 2}.items():
        torch.testing.assert_close(look(new, row), look(old, was), rtol=0, atol=0)
    rows = new.class_embedding.weight.detach()
    usual = torch.pdist(old.class_embedding.weight.detach()).mean()
    assert torch.pdist(rows).min() > 0.5 * usual
    assert torch.pdist(rows).max() < 2 * usual
    again = parent.net_for(Conditioning(("merger",)).row_names, 8).class_embedding.weight
    torch.testing.assert_close(again[0], rows[2], rtol=0, atol=0)  # whatever the other classes are
    assert parent.resolution == 8
    assert parent.net_for(Conditioning(("ring",)).row_names, 16).config.sample_size == 16


def test_the_new_net_sees_images_and_noise_as_the_old_one_did(tmp_path):
    """Patches, standardised pixels and noise levels come from the model, the resolution from the training."""
    config = {k: v for k, v in small_unet().config.items() if not k.startswith("_")}
    old = UNet2DModel(**{**config, "in_channels": 12, "out_channels": 12, "sample_size": 4})
    seen = ImageFormat((-0.8, -0.7, -0.6), 0.25, 2)
    scheduler = make_noise_scheduler("squaredcos_cap_v2", 1000, "v_prediction", noise_shift=2.0, clip_sample=False)
    ClassConditionalDDPMPipeline(old, scheduler, NAMES, **asdict(seen)).save_pretrained(tmp_path)
    parent = load_parent(str(tmp_path))
    assert parent.image_format == seen
    assert parent.resolution == 8
    torch.testing.assert_close(parent.noise_scheduler.alphas_cumprod, scheduler.alphas_cumprod)
    assert parent.noise_scheduler.config.prediction_type == "v_prediction"
    new = parent.net_for(Conditioning(("bright",)).row_names, 16)
    assert new.config.sample_size == 8
    noisy, label = torch.randn(1, 3, 8, 8), torch.tensor([1])
    torch.testing.assert_close(
        seen.predict(new, noisy, 7, torch.tensor([0])), seen.predict(old, noisy, 7, label), rtol=0, atol=0
    )
    for resolution, complaint in ((9, "does not divide into patches of 2"), (2, "cannot be halved")):
        with pytest.raises(UserError, match=complaint):
            parent.net_for(Conditioning(("bright",)).row_names, resolution)


def test_a_net_without_classes_generates_what_it_did(tmp_path):
    config = {**small_unet().config, "num_class_embeds": None}
    old = type(small_unet()).from_config(config)
    ClassConditionalDDPMPipeline(old, DDPMScheduler()).save_pretrained(tmp_path)
    new = load_parent(str(tmp_path)).net_for(Conditioning(("ring",)).row_names, 8)
    with torch.no_grad():
        expected = old(torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)), 7, return_dict=False)[0]
    torch.testing.assert_close(look(new, 0), expected, rtol=0, atol=0)


def test_votes_are_not_learned_by_a_net_of_classes(saved):
    with pytest.raises(UserError, match="use --conditioning class"):
        load_parent(saved[1]).net_for(Conditioning(("a", *VOTE_COLUMNS)).row_names, 8)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be loaded as a pipeline"):
        load_parent(str(tmp_path))


def test_lora_begins_as_the_net_and_merges_without_a_trace():
    pytest.importorskip("peft")
    plain, adapted = small_unet(), small_unet()
    add_lora(adapted, 2, "model")
    torch.testing.assert_close(look(adapted, 0), look(plain, 0))
    trained = {name: weight for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert "class_embedding.weight" in trained
    assert sum(w.numel() for w in trained.values()) < 0.5 * sum(w.numel() for w in plain.parameters())
    for name, weight in trained.items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    changed = look(adapted, 0)
    assert (changed - look(plain, 0)).abs().max() > 1e-3
    merged = merge_lora(copy.deepcopy(adapted))
    torch.testing.assert_close(look(merged, 0), changed, rtol=1e-4, atol=1e-5)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(look(adapted, 0), changed, rtol=0, atol=0)


def test_lora_without_peft_or_without_a_net_is_told(monkeypatch):
    with pytest.raises(UserError, match="give it with --init_from"):
        add_lora(small_unet(), 2, None)
    real = builtins.__import__

    def without_peft(name, *args, **kwargs):
        if name == "peft":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_peft)
    with pytest.raises(UserError, match="pip install peft"):
        add_lora(small_unet(), 2, "model")


def test_a_class_becomes_its_mean_votes():
    """Asked for a class, the net predicts what it predicted for the mean votes of its galaxies."""
    torch.manual_seed(0)
    unet = type(small_unet()).from_config({**small_unet().config, "num_class_embeds": 2 + NUM_VOTES + 1})
    learn_votes(unet)
    rng = np.random.default_rng(0)
    votes = rng.random((6, NUM_VOTES), dtype=np.float32)
    votes[5] = np.nan
    labels = np.array([0, 0, 1, 1, 1, 1])
    galaxies = GalaxyArrays(np.zeros((6, 8, 8, 3), np.uint8), labels, [], [], ("a", "b"), votes=votes)
    null = torch.zeros(1, NUM_VOTES + 1)
    null[0, -1] = 1
    told = [torch.from_numpy(np.append(votes[rows].mean(axis=0), 0))[None].float() for rows in ([0, 1], [2, 3, 4])]
    expected = [look(unet, told[0]), look(unet, told[1]), look(unet, null)]
    class_rows_from_votes(unet, galaxies)
    for label, value in zip((0, 1, unet.config.num_class_embeds - 1), expected, strict=True):
        torch.testing.assert_close(look(unet, label), value, rtol=1e-4, atol=1e-5)


def test_the_adapter_alone_around_the_parent_is_the_merged_net(saved, tmp_path):
    """What is saved in peft's format, loaded by peft, gives what the merged net gives, for every class."""
    peft = pytest.importorskip("peft")
    parent = load_parent(saved[1])
    rows = Conditioning(("bright", "ring")).row_names
    net = parent.net_for(rows, 8)
    add_lora(net, 2, saved[1])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    ema = EMAModel(net.parameters(), decay=0.5)
    save_adapter(net, ema, 2, saved[1], tmp_path / "lora")
    assert {path.name for path in (tmp_path / "lora").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    loaded = peft.PeftModel.from_pretrained(parent.net_for(rows, 8), tmp_path / "lora")
    merged = averaged(net, ema)
    for row in range(len(rows)):
        torch.testing.assert_close(look(loaded, row), look(merged, row), atol=1e-5, rtol=1e-4)
    assert not torch.equal(look(merged, 0), look(parent.net_for(rows, 8), 0))
