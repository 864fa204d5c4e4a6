"""train_sagan.py end to end with the test preset, and generate.py with its model."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import generate
import train_sagan
from galaxy_diffusion.generators.sagan_nets import make_nets
from galaxy_diffusion.generators.sagan_objective import AdversarialObjective
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from gz2_dataset import CLASS_NAMES, GalaxyArrays, UserError, load_arrays
from gz2_dataset.command_line import run

from .conftest import ROOT, Coloured, launch_two_processes


def tiny(data: Path, output: Path, **changes) -> train_sagan.Config:
    preset = yaml.safe_load((ROOT / "configs/sagan_tiny.yaml").read_text())
    return train_sagan.Config(data=str(data), output_dir=output, **{**preset, **changes})


@pytest.fixture(scope="module")
def trained(toy_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "sagan"
    train_sagan.main(tiny(toy_data, folder))
    return folder


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "generator_net/diffusion_pytorch_model.safetensors")


def without_times(folder: Path) -> list[dict]:
    times = {"seconds", "images_per_second", "memory_gb"}
    return [{key: value for key, value in line.items() if key not in times} for line in lines(folder)]


def test_it_leaves_what_others_need(trained, toy_data):
    record = json.loads((trained / "run.json").read_text())
    train = load_arrays(str(toy_data), "train", 32)
    assert record["images_seen"] == 64
    assert record["data_fingerprint"] == {"labelled": train.fingerprint}
    assert [p.name for p in (trained / "samples").iterdir()] == ["000000000064.png"]
    assert len(list((trained / "checkpoints").iterdir())) == 2
    last = lines(trained)[-1]
    assert {"loss", "generator_loss", "saturation", "diversity", "diversity/spiral", "images_per_second"} <= last.keys()
    seen = pd.read_csv(trained / "seen_images.csv")
    assert sorted(seen["sha256"]) == sorted(train.digests), "no galaxy without a class, none to validate or test on"


def test_the_model_card_says_what_there_is_to_know(trained):
    card, record = (trained / "README.md").read_text(), json.loads((trained / "run.json").read_text())
    assert "- collapsed: " in card
    assert f"(lowest diversity {record['diversity']:.2f})" in card
    assert "`trust_remote_code` runs the `pipeline.py` in this folder" in card
    assert "\ngenerator_learning_rate: 0.001\n" in card
    assert "guidance" not in card


def test_an_interrupted_run_goes_on_exactly(trained, toy_data, tmp_path, monkeypatch):
    """Killed between two checkpoints, with augmentation: same figures, same weights to the bit."""
    real_loss, calls = AdversarialObjective.of_discriminator, []

    def killed(self, batch):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return real_loss(self, batch)

    with monkeypatch.context() as context:
        context.setattr(AdversarialObjective, "of_discriminator", killed)
        with pytest.raises(KeyboardInterrupt):
            train_sagan.main(tiny(toy_data, tmp_path))
    assert not (tmp_path / "model_index.json").exists()
    train_sagan.main(tiny(toy_data, tmp_path))
    assert without_times(tmp_path) == without_times(trained)
    for name, value in weights(trained).items():
        assert torch.equal(weights(tmp_path)[name], value), name


def test_the_same_command_again_does_nothing(trained, toy_data):
    before = (trained / "model_index.json").stat().st_mtime_ns
    train_sagan.main(tiny(toy_data, trained))
    assert (trained / "model_index.json").stat().st_mtime_ns == before


def test_the_generator_is_trained_every_so_many_steps_wherever_a_run_stops(trained, toy_data, tmp_path):
    """24 images are three batches of eight: the stop lies between two steps of the generator."""
    train_sagan.main(tiny(toy_data, tmp_path, total_images=24, sample_images=0))
    train_sagan.main(tiny(toy_data, tmp_path))
    for name, value in weights(trained).items():
        assert torch.equal(weights(tmp_path)[name], value), name


@pytest.mark.two_processes
def test_a_run_of_one_process_is_ended_by_two(trained, toy_data, tmp_path):
    """On CPUs each process normalises its own half of the batch: figures are close to those of one, not equal."""
    train_sagan.main(tiny(toy_data, tmp_path, total_images=32, sample_images=0))
    arguments = ["--config", "configs/sagan_tiny.yaml", "--data", toy_data, "--output_dir", tmp_path]
    launch_two_processes("train_sagan.py", *arguments, "--sample_images", 0)
    assert [line["images_seen"] for line in lines(tmp_path)] == [line["images_seen"] for line in lines(trained)]
    np.testing.assert_allclose(
        [line["loss"] for line in lines(tmp_path)], [line["loss"] for line in lines(trained)], rtol=0.1
    )
    assert weights(tmp_path).keys() == weights(trained).keys()


@pytest.mark.slow
def test_classes_that_differ_in_colour_are_learned(tmp_path, monkeypatch, capsys):
    coloured = Coloured()
    monkeypatch.setattr(train_sagan, "load_arrays", coloured.load)
    config = train_sagan.Config(
        "coloured",
        tmp_path,
        resolution=8,
        latent_dim=8,
        block_out_channels=[8, 16],
        attention_levels=[1],
        total_images=12800,
        batch_size=32,
        generator_learning_rate=1e-3,
        discriminator_learning_rate=2e-3,
        ema_decay=0.98,
        log_images=3200,
        sample_images=0,
        checkpoint_images=12800,
    )
    train_sagan.main(config)
    assert "collapsed: nothing" in capsys.readouterr().out
    assert json.loads((tmp_path / "run.json").read_text())["collapsed"] == []
    pipeline = load_pipeline(str(tmp_path), "dpmsolver++", torch.device("cpu"))
    labels = np.arange(96) % 3
    images = generate_batch(pipeline, labels.tolist(), list(range(96)))
    real, drawn = (coloured.means(x, labels) for x in (coloured.galaxies.images, images))
    assert np.abs(drawn - real).max() < 15, "grey levels; classes differ by 60"


def test_a_generator_that_has_collapsed_is_reported(toy_data, tmp_path, monkeypatch, capsys):
    constant = np.zeros((32, 32, 3), np.uint8)
    monkeypatch.setattr(
        train_sagan, "generate_batch", lambda pipeline, labels, seeds: np.stack([constant] * len(labels))
    )
    train_sagan.main(tiny(toy_data, tmp_path, total_images=16, sample_images=0))
    assert "collapsed: completely_round_smooth: diversity 0.00" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "run.json").read_text())["collapsed"]) >= len(CLASS_NAMES)
    assert "- collapsed: completely_round_smooth" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"resolution": 30}, "cannot be halved"),
        ({"attention_levels": [0]}, "attention_levels: 0 is not between 1 and 2"),
        ({"diff_augment": ["rotation"]}, "no augmentation 'rotation'; choose from colour, translation, cutout"),
        ({"data": "/no/such/folder"}, "no such folder"),
        ({"generator_learning_rate": 1e30}, "the loss is not a number"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(toy_data, tmp_path, change, complaint):
    with pytest.raises(UserError, match=complaint) as error:
        train_sagan.main(replace(tiny(toy_data, tmp_path / "run"), **change))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run/model_index.json").exists()


def test_settings_of_another_run_are_refused(trained, toy_data):
    with pytest.raises(UserError, match=r"another diff_augment"):
        train_sagan.main(tiny(toy_data, trained, diff_augment=[]))


def test_presets_are_complete(monkeypatch):
    for preset in sorted((ROOT / "configs").glob("sagan_*.yaml")):
        monkeypatch.setattr(sys, "argv", ["t", "--config", str(preset), "--data", "d", "--output_dir", "o"])
        received = []
        run(received.append, train_sagan.Config, "")
        config = received[0]
        start, left = divmod(config.resolution, 2 ** (len(config.block_out_channels) - 1))
        assert (start, left) == ({"sagan_224.yaml": 7, "sagan_tiny.yaml": 8}.get(preset.name, 4), 0)
        if config.resolution <= 32:
            blank = np.zeros((1, config.resolution, config.resolution, 3), np.uint8)
            galaxies = GalaxyArrays(blank, np.zeros(1, np.int64), [], [], CLASS_NAMES)
            assert make_nets(config, galaxies)[0].start == start


def settings(model: Path, output: Path, **changes) -> generate.Config:
    fast = {"num_images": "cigar_shaped_smooth=5,spiral=2", "batch_size": 7, "seed": 10}
    return generate.Config(model=str(model), output_dir=output, **{**fast, **changes})


def test_generate_draws_into_the_contract_whatever_the_batch(trained, tmp_path, monkeypatch):
    drawn: dict[str, np.ndarray] = {}
    save = generate.save_image
    monkeypatch.setattr(
        generate, "save_image", lambda path, image: [drawn.update({str(path): image}), save(path, image)]
    )
    whole, single = tmp_path / "whole", tmp_path / "single"
    generate.main(settings(trained, whole, grid=True))
    generate.main(settings(trained, single, batch_size=1))
    for path in whole.glob("*/*.jpg"):
        other = single / path.relative_to(whole)
        assert np.abs(drawn[str(path)].astype(int) - drawn[str(other)]).max() <= 1
    rows = [json.loads(line) for line in (whole / "metadata.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "file_name": "cigar_shaped_smooth/00000010.jpg",
        "label": "cigar_shaped_smooth",
        "seed": 10,
        "scheduler": "sagan",
        "steps": 1,
        "guidance_scale": 1.0,
        "checkpoint": rows[0]["checkpoint"],
    }
    assert (whole / "metadata.jsonl").read_text() == (single / "metadata.jsonl").read_text()
    assert (whole / "seen_images.csv").read_bytes() == (trained / "seen_images.csv").read_bytes()
    assert len(datasets.load_dataset("imagefolder", data_dir=str(whole), split="train")) == 7
    with Image.open(whole / "grid.png") as grid:
        assert grid.size == (5 * 32, 2 * 32)


@pytest.mark.parametrize(
    "option", [{"scheduler": "ddim"}, {"guidance_scale": 1.5}, {"trajectory": True}, {"variations_of": "data"}]
)
def test_what_only_a_diffusion_model_can_do_is_refused(trained, tmp_path, option):
    with pytest.raises(UserError, match=f"^{next(iter(option))}: .* is not a diffusion model; leave --"):
        generate.main(settings(trained, tmp_path / "out", **option))
    assert not (tmp_path / "out").exists()
