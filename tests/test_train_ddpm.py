"""train_ddpm.py end to end with the test preset."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from diffusers import DiffusionPipeline
from safetensors.torch import load_file

import train_classifier
import train_ddpm
from gz2_dataset import UserError, load_arrays
from gz2_dataset.command_line import run

from .conftest import ROOT, launch_two_processes


def tiny(data: Path, output: Path, **changes) -> train_ddpm.Config:
    preset = yaml.safe_load((ROOT / "configs/ddpm_tiny.yaml").read_text())
    return train_ddpm.Config(data=str(data), output_dir=output, **{**preset, **changes})


@pytest.fixture(scope="module")
def trained(tiny_model) -> Path:
    return tiny_model


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "unet/diffusion_pytorch_model.safetensors")


def test_it_learns_and_leaves_what_others_need(trained, toy_data):
    assert losses(trained)[-1] < losses(trained)[0]
    record = json.loads((trained / "run.json").read_text())
    assert record["images_seen"] == 64
    assert record["config"]["prediction_type"] == "v_prediction"
    assert record["data_fingerprint"]["labelled"] == load_arrays(str(toy_data), "train", 32).fingerprint
    assert [p.name for p in (trained / "samples").iterdir()] == ["000000000064.png"]
    assert len(list((trained / "checkpoints").iterdir())) == 2


def test_the_generator_never_saw_validation_or_test(trained, toy_data):
    seen = pd.read_csv(trained / "seen_images.csv")
    for split in ("validation", "test"):
        held_out = load_arrays(str(toy_data), split, 32)
        assert not set(seen["image_id"]) & set(held_out.image_ids)
        assert not set(seen["sha256"]) & set(held_out.digests)
    assert len(seen) == len(load_arrays(str(toy_data), "train", 32)) + len(load_arrays(str(toy_data), "unlabelled", 32))


def test_the_same_command_again_does_nothing(trained, toy_data):
    before = (trained / "unet/diffusion_pytorch_model.safetensors").stat().st_mtime_ns
    train_ddpm.main(tiny(toy_data, trained))
    assert (trained / "unet/diffusion_pytorch_model.safetensors").stat().st_mtime_ns == before


def test_an_interrupted_run_goes_on_exactly(trained, toy_data, tmp_path, monkeypatch):
    """Killed between two checkpoints: same losses, same weights to the bit."""
    real_turn, calls = train_ddpm.turn, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return real_turn(*args)

    with monkeypatch.context() as context:
        context.setattr(train_ddpm, "turn", killed)
        with pytest.raises(KeyboardInterrupt):
            train_ddpm.main(tiny(toy_data, tmp_path))
    assert not (tmp_path / "model_index.json").exists()
    train_ddpm.main(tiny(toy_data, tmp_path))
    assert losses(tmp_path) == losses(trained)
    for name, value in weights(trained).items():
        assert torch.equal(weights(tmp_path)[name], value), name


def test_dropout_goes_on_exactly_too(toy_data, tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train_ddpm.main(tiny(toy_data, whole, dropout=0.2))
    train_ddpm.main(tiny(toy_data, resumed, dropout=0.2, total_images=32))
    train_ddpm.main(tiny(toy_data, resumed, dropout=0.2))
    assert losses(whole)[2:] == losses(resumed)[2:]


def test_another_seed_is_another_run(trained, toy_data, tmp_path):
    train_ddpm.main(tiny(toy_data, tmp_path, seed=1, total_images=16))
    assert losses(tmp_path)[0] != losses(trained)[0]


@pytest.mark.two_processes
def test_two_processes_train_as_one(trained, toy_data, tmp_path):
    arguments = ["train_ddpm.py", "--config", "configs/ddpm_tiny.yaml", "--data", toy_data, "--output_dir", tmp_path]
    launch_two_processes(*arguments)
    np.testing.assert_allclose(losses(tmp_path), losses(trained), rtol=1e-4)
    for name, value in weights(trained).items():
        torch.testing.assert_close(weights(tmp_path)[name], value, rtol=1e-3, atol=1e-3)


def test_a_data_folder_with_a_test_galaxy_in_train_is_refused(toy_data, tmp_path):
    leaky = shutil.copytree(toy_data, tmp_path / "leaky")
    train, test = (datasets.load_dataset(str(toy_data), split=split) for split in ("train", "test"))
    datasets.concatenate_datasets([train, test.select([0])]).to_parquet(leaky / "data/train.parquet")
    for name, script in (("ddpm", train_ddpm.main), ("classifier", train_classifier.main)):
        settings = tiny if name == "ddpm" else lambda data, output: train_classifier.Config(str(data), str(output))
        with pytest.raises(UserError, match="is also in train"):
            script(settings(leaky, tmp_path / name))
        assert not (tmp_path / name).exists()


def test_settings_of_another_run_are_refused(trained, toy_data):
    with pytest.raises(UserError, match=r"another resolution \(32, now 64\)"):
        train_ddpm.main(tiny(toy_data, trained, resolution=64))


def test_other_data_is_refused(trained, toy_source, tmp_path):
    with pytest.raises(UserError, match="another data_fingerprint"):
        train_ddpm.main(tiny(toy_source, trained))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"resolution": 31}, "cannot be halved"),
        ({"data": "/no/such/folder"}, "no such folder"),
        ({"learning_rate": float("inf")}, "the loss is not a number"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(toy_data, tmp_path, change, complaint):
    with pytest.raises(UserError, match=complaint) as error:
        train_ddpm.main(replace(tiny(toy_data, tmp_path / "run"), **change))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run/model_index.json").exists()


def test_presets_are_complete(monkeypatch, capsys):
    for preset in sorted((ROOT / "configs").glob("ddpm_*.yaml")):
        monkeypatch.setattr(sys, "argv", ["t", "--config", str(preset), "--data", "d", "--output_dir", "o"])
        received = []
        run(received.append, train_ddpm.Config, "")
        config = received[0]
        assert config.resolution % 2 ** (len(config.block_out_channels) - 1) == 0
        if config.resolution <= 64:
            assert train_ddpm.make_unet(config, num_classes=5).config.num_class_embeds == 6


def test_the_folder_is_a_diffusers_pipeline(trained):
    index = json.loads((trained / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DModel"]
    assert issubclass(train_ddpm.ClassConditionalDDPMPipeline, DiffusionPipeline)
    assert index["id2label"]["4"] == "spiral"
