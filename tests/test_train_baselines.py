"""train_vae.py and train_autoregressive.py end to end with their test presets, and generate.py with their models."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

import generate
import train_autoregressive
import train_vae
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from gz2_dataset import UserError, load_arrays
from gz2_dataset.command_line import run

from .conftest import ROOT, Coloured, launch_two_processes

SCRIPTS = {"vae": train_vae, "autoregressive": train_autoregressive}
NETS = {"vae": ("vae", "prior"), "autoregressive": ("vqvae", "transformer")}


def tiny(name: str, data: Path, output: Path, **changes):
    preset = yaml.safe_load((ROOT / f"configs/{name}_tiny.yaml").read_text())
    return SCRIPTS[name].Config(data=str(data), output_dir=output, **{**preset, **changes})


@pytest.fixture(scope="module", params=SCRIPTS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def script(name) -> ModuleType:
    return SCRIPTS[name]


@pytest.fixture(scope="module")
def trained(name, script, toy_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / name
    script.main(tiny(name, toy_data, folder))
    return folder


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_times(folder: Path) -> list[dict]:
    times = {"seconds", "images_per_second", "memory_gb"}
    return [{key: value for key, value in line.items() if key not in times} for line in lines(folder)]


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    files = [next((folder / net).glob("*.safetensors")) for net in NETS[name]]
    return {f"{file.parent.name}/{key}": value for file in files for key, value in load_file(file).items()}


def test_it_leaves_what_others_need(trained, toy_data):
    record = json.loads((trained / "run.json").read_text())
    splits = [load_arrays(str(toy_data), split, 32) for split in ("train", "unlabelled")]
    assert record["images_seen"] == 64
    assert list(record["data_fingerprint"].values()) == [split.fingerprint for split in splits]
    assert [p.name for p in (trained / "samples").iterdir()] == ["000000000064.png"]
    seen = pd.read_csv(trained / "seen_images.csv")
    assert sorted(seen["sha256"]) == sorted([*splits[0].digests, *splits[1].digests])


def test_the_model_card_says_how_to_draw_from_it(name, trained):
    card = (trained / "README.md").read_text()
    assert f"- {name}\n" in card
    assert "`trust_remote_code` runs the `pipeline.py` in this folder" in card
    assert "guidance" not in card


def test_an_interrupted_run_goes_on_exactly(name, script, trained, toy_data, tmp_path, monkeypatch):
    """Killed twice, once in each half, after a checkpoint and halfway to the next: same figures and weights."""
    made, calls = script.standardized_patches, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) in (4, 8):
            raise KeyboardInterrupt
        return made(*arguments)

    with monkeypatch.context() as context:
        context.setattr(script, "standardized_patches", killed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                script.main(tiny(name, toy_data, tmp_path, checkpoint_images=16))
    assert not (tmp_path / "model_index.json").exists()
    script.main(tiny(name, toy_data, tmp_path, checkpoint_images=16))
    assert without_times(tmp_path) == without_times(trained)
    for key, value in weights(trained, name).items():
        assert torch.equal(weights(tmp_path, name)[key], value), key


def test_the_same_command_again_does_nothing(name, script, trained, toy_data):
    before = (trained / "model_index.json").stat().st_mtime_ns
    script.main(tiny(name, toy_data, trained))
    assert (trained / "model_index.json").stat().st_mtime_ns == before


@pytest.mark.two_processes
def test_a_run_of_one_process_is_ended_by_two(name, script, trained, toy_data, tmp_path):
    script.main(tiny(name, toy_data, tmp_path, total_images=40, sample_images=0))
    arguments = ["--config", f"configs/{name}_tiny.yaml", "--data", toy_data, "--output_dir", tmp_path]
    launch_two_processes(f"train_{name}.py", *arguments, "--sample_images", 0)
    assert lines(tmp_path)[-1]["images_seen"] == 64
    assert lines(tmp_path)[-1]["loss"] == pytest.approx(lines(trained)[-1]["loss"], rel=0.1)
    assert weights(tmp_path, name).keys() == weights(trained, name).keys()


SMALL = {
    "vae": {"latent_channels": 4, "block_out_channels": [16, 32], "total_images": 16_000},
    "autoregressive": {
        "block_out_channels": [32],
        "num_codes": 32,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 2,
        "autoencoder_images": 6_400,
        "total_images": 19_200,
    },
}


@pytest.mark.slow
def test_classes_that_differ_in_colour_are_learned(name, script, tmp_path, monkeypatch):
    coloured = Coloured()
    monkeypatch.setattr(script, "load_arrays", lambda data, split, *_: coloured.load())
    config = script.Config(
        "coloured",
        tmp_path,
        resolution=8,
        patch_size=2,
        unlabelled_share=0.0,
        batch_size=32,
        learning_rate=2e-3,
        warmup_images=320,
        cooldown_images=3_200,
        ema_decay=0.98,
        log_images=3_200,
        sample_images=0,
        checkpoint_images=32_000,
        **SMALL[name],
    )
    script.main(config)
    pipeline = load_pipeline(str(tmp_path), "dpmsolver++", torch.device("cpu"))
    labels = np.arange(96) % 3
    images = generate_batch(pipeline, labels.tolist(), list(range(96)))
    real, drawn = (coloured.means(x, labels) for x in (coloured.galaxies.images, images))
    assert np.abs(drawn - real).max() < 15, "grey levels; classes differ by 60"
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert 1.5 < corners.std(axis=0).mean() < 15, "a sky with noise like that of the real ones, which have 3 and a halo"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"resolution": 36}, "cannot be halved"),
        ({"norm_num_groups": 7}, "norm_num_groups 7 does not divide"),
        ({"learning_rate": 1e30}, "the loss is not a number"),
        ({"data": "/no/such/folder"}, "no such folder"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(name, script, toy_data, tmp_path, change, complaint):
    with pytest.raises(UserError, match=complaint) as error:
        script.main(replace(tiny(name, toy_data, tmp_path / "run"), **change))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run/model_index.json").exists()


def test_a_training_that_ends_before_the_transformer_begins_is_refused(toy_data, tmp_path):
    with pytest.raises(UserError, match="autoencoder_images 64: leaves none of total_images 64"):
        train_autoregressive.main(tiny("autoregressive", toy_data, tmp_path, autoencoder_images=64))


def test_settings_of_another_run_are_refused(name, script, trained, toy_data):
    with pytest.raises(UserError, match=r"another norm_num_groups"):
        script.main(tiny(name, toy_data, trained, norm_num_groups=8))


def test_presets_are_complete(name, script, monkeypatch):
    presets = sorted((ROOT / "configs").glob(f"{name}_*.yaml"))
    assert [preset.stem.removeprefix(f"{name}_") for preset in presets] == ["32", "64", "tiny"]
    for preset in presets:
        monkeypatch.setattr(sys, "argv", ["t", "--config", str(preset), "--data", "d", "--output_dir", "o"])
        received = []
        run(received.append, script.Config, "")
        assert received[0].resolution == int(preset.stem.rpartition("_")[2].replace("tiny", "32"))


def settings(model: Path, output: Path, **changes) -> generate.Config:
    fast = {"num_images": "cigar_shaped_smooth=3,spiral=2", "batch_size": 5, "seed": 10}
    return generate.Config(model=str(model), output_dir=output, **{**fast, **changes})


def test_generate_draws_into_the_contract_whatever_the_batch(name, trained, tmp_path, monkeypatch):
    drawn: dict[str, np.ndarray] = {}
    save = generate.save_image
    monkeypatch.setattr(
        generate, "save_image", lambda path, image: [drawn.update({str(path): image}), save(path, image)]
    )
    whole, single = tmp_path / "whole", tmp_path / "single"
    generate.main(settings(trained, whole))
    generate.main(settings(trained, single, batch_size=1))
    for path in whole.glob("*/*.jpg"):
        other = single / path.relative_to(whole)
        assert np.abs(drawn[str(path)].astype(int) - drawn[str(other)]).max() <= 1
    rows = [json.loads(line) for line in (whole / "metadata.jsonl").read_text().splitlines()]
    assert rows[0]["scheduler"] == name
    assert len(rows[0]["checkpoint"]) == 16
    assert (whole / "metadata.jsonl").read_text() == (single / "metadata.jsonl").read_text()
    assert (whole / "seen_images.csv").read_bytes() == (trained / "seen_images.csv").read_bytes()
    assert len(datasets.load_dataset("imagefolder", data_dir=str(whole), split="train")) == 5


@pytest.mark.parametrize("option", [{"scheduler": "ddim"}, {"guidance_scale": 1.5}, {"trajectory": True}])
def test_what_only_a_diffusion_model_can_do_is_refused(trained, tmp_path, option):
    with pytest.raises(UserError, match=f"^{next(iter(option))}: .* is not a diffusion model; leave --"):
        generate.main(settings(trained, tmp_path / "out", **option))
    assert not (tmp_path / "out").exists()
