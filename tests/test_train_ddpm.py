"""train_ddpm.py end to end with the test preset."""

import json
import shutil
import sys
from dataclasses import replace
from hashlib import sha256
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
from benchmarks import kills
from galaxy_diffusion.generators.model_folder import save_in_half_precision
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.shared.seen_images import DIGEST, read_seen_images
from galaxy_diffusion.shared.symmetry import turn
from gz2_dataset import VOTE_COLUMNS, GalaxyArrays, UserError, load_arrays
from gz2_dataset.command_line import run

from .conftest import ROOT, launch_two_processes


def tiny(data: Path, output: Path, **changes) -> train_ddpm.Config:
    """The test preset; no sheet of samples, which takes longer than the training: `tiny_model` has one."""
    preset = yaml.safe_load((ROOT / "configs/ddpm_tiny.yaml").read_text())
    return train_ddpm.Config(data=str(data), output_dir=output, **{**preset, "sample_images": 0, **changes})


@pytest.fixture(scope="module")
def trained(tiny_model) -> Path:
    return tiny_model


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / WEIGHTS)


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
    real_backward, calls = train_ddpm.backward, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return real_backward(*args)

    with monkeypatch.context() as context:
        context.setattr(train_ddpm, "backward", killed)
        with pytest.raises(KeyboardInterrupt):
            train_ddpm.main(tiny(toy_data, tmp_path))
    assert not (tmp_path / "model_index.json").exists()
    train_ddpm.main(tiny(toy_data, tmp_path))
    assert losses(tmp_path) == losses(trained)
    for name, value in weights(trained).items():
        assert torch.equal(weights(tmp_path)[name], value), name


def test_a_stream_trains_as_well_on_the_same_galaxies(trained, toy_data, tmp_path):
    options = {"streaming": True, "class_balance": 0.0, "validation_images": 32}
    train_ddpm.main(tiny(toy_data, tmp_path / "streamed", **options))
    lines = [json.loads(line) for line in (tmp_path / "streamed/metrics.jsonl").read_text().splitlines()]
    of_unseen = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert len(of_unseen) == 2
    assert of_unseen[1] < of_unseen[0]
    local, streamed = (pd.read_csv(folder / "seen_images.csv") for folder in (trained, tmp_path / "streamed"))
    assert set(streamed["sha256"]) == set(local["sha256"])
    with pytest.raises(UserError, match="cannot be drawn class by class"):
        train_ddpm.main(tiny(toy_data, tmp_path / "balanced", streaming=True, class_balance=0.5))


def test_a_step_whose_gradient_is_no_number_is_left_out(toy_data, tmp_path, monkeypatch):
    real_backward, calls = train_ddpm.backward, []

    def overflowing(accelerator, unet, *args):
        loss = real_backward(accelerator, unet, *args)
        calls.append(1)
        if len(calls) == 3:
            next(unet.parameters()).grad[:] = float("inf")
        return loss

    monkeypatch.setattr(train_ddpm, "backward", overflowing)
    monkeypatch.setattr(train_ddpm, "MOST_LEFT_OUT", 0.5)
    train_ddpm.main(tiny(toy_data, tmp_path / "once"))
    assert all(weight.isfinite().all() for weight in weights(tmp_path / "once").values())
    monkeypatch.setattr(train_ddpm, "MOST_LEFT_OUT", 0.1)
    calls.clear()
    with pytest.raises(UserError, match="gradient is not a number in 50% of the steps"):
        train_ddpm.main(tiny(toy_data, tmp_path / "often"))


def test_unscaled_pixels_without_patches_train_as_well(toy_data, tmp_path):
    """The paper's preset."""
    train_ddpm.main(tiny(toy_data, tmp_path, patch_size=1, standardize=False, prediction_type="epsilon"))
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert (index["patch_size"], index["image_std"], index["image_mean"]) == (1, 1.0, [0.0, 0.0, 0.0])
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]


def test_another_seed_is_another_run(trained, toy_data, tmp_path):
    train_ddpm.main(tiny(toy_data, tmp_path, seed=1, total_images=16))
    assert losses(tmp_path)[0] != losses(trained)[0]


@pytest.mark.two_processes
def test_a_run_of_one_process_is_ended_by_two(trained, toy_data, tmp_path):
    """The first half on one process, the second on two: the losses and weights of one process."""
    train_ddpm.main(tiny(toy_data, tmp_path, total_images=32))
    arguments = ["--config", "configs/ddpm_tiny.yaml", "--data", toy_data, "--output_dir", tmp_path]
    launch_two_processes("train_ddpm.py", *arguments, "--sample_images", 0, "--gradient_accumulation_steps", 2)
    np.testing.assert_allclose(losses(tmp_path), losses(trained), rtol=1e-4)
    for name, value in weights(trained).items():
        torch.testing.assert_close(weights(tmp_path)[name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("change", [{"gradient_accumulation_steps": 3}, {"gradient_checkpointing": True}])
def test_what_saves_memory_changes_nothing(trained, toy_data, tmp_path, change):
    train_ddpm.main(tiny(toy_data, tmp_path, **change))
    np.testing.assert_allclose(losses(tmp_path), losses(trained), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_any_moment_it_comes_to_the_same_weights(toy_source, tmp_path):
    """SIGKILL, three times; benchmarks/kills.py does it to every command."""
    kills.main(kills.Config(toy_source, tmp_path / "run", kills=3, commands=["train_ddpm"], total_images=64))
    (found,) = json.loads((tmp_path / "run/kills.json").read_text())["commands"]
    assert len(found["kills"]) == 3
    assert found["differs"] == []


def test_a_dry_run_says_what_it_takes_and_leaves_nothing(toy_data, tmp_path, capsys):
    train_ddpm.main(tiny(toy_data, tmp_path / "run", dry_run=True))
    said = capsys.readouterr().out
    for word in ("resolution: 32", "parameters: ", "GFLOP per image", "memory per process", "hours for 64 images"):
        assert word in said
    assert not (tmp_path / "run").exists()


def test_the_losses_of_the_validation_classes_are_logged(toy_data, tmp_path):
    train_ddpm.main(tiny(toy_data, tmp_path, total_images=32, validation_images=16))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    names = load_arrays(str(toy_data), "train", 32).class_names
    for line in lines:
        assert {f"validation_loss/{name}" for name in names} <= line.keys()
        assert {"learning_rate", "gradient_norm", "ema_decay", "images_per_second", "memory_gb"} <= line.keys()
    assert lines[1]["validation_loss"] < lines[0]["validation_loss"]
    assert "| validation_loss/spiral |" in (tmp_path / "README.md").read_text()


def test_fine_tuning_with_lora_saves_a_plain_pipeline(trained, toy_data, tmp_path):
    pytest.importorskip("peft")
    changes = {"init_from": str(trained), "lora_rank": 2, "total_images": 32}
    train_ddpm.main(tiny(toy_data, tmp_path / "run", **changes))
    assert weights(tmp_path / "run").keys() == weights(trained).keys()
    assert losses(tmp_path / "run")[0] < losses(trained)[0], "it begins with what the other has learned"
    held = "conv_in.weight"
    assert torch.equal(weights(tmp_path / "run")[held], weights(trained)[held])
    assert (tmp_path / "run/seen_images.csv").read_text() == (trained / "seen_images.csv").read_text()


@pytest.mark.slow
def test_a_training_from_a_model_is_told_nothing_of_its_net_and_noise(trained, toy_data, tmp_path):
    """It only starts from there; weights in half precision, as models are shipped, serve as well."""
    half = tmp_path / "half"
    save_in_half_precision(trained, half)
    assert (half / WEIGHTS).stat().st_size < 0.6 * (trained / WEIGHTS).stat().st_size
    config = train_ddpm.Config(
        str(toy_data), tmp_path / "run", init_from=str(half), total_images=16, batch_size=8, log_images=8
    )
    train_ddpm.main(config)
    assert losses(tmp_path / "run")[0] < losses(trained)[0], "it begins with what the other has learned"
    for name in ("scheduler/scheduler_config.json", "unet/config.json", "model_index.json"):
        new, old = (json.loads((folder / name).read_text()) for folder in (tmp_path / "run", trained))
        assert {k: v for k, v in new.items() if k[0] != "_"} == {k: v for k, v in old.items() if k[0] != "_"}
    assert json.loads((tmp_path / "run/settings.json").read_text())["resolution"] == 32
    assert all(weight.dtype == torch.float32 for weight in weights(tmp_path / "run").values())
    assert {"README.md", "run.json", "seen_images.csv", "sampler", "pipeline.py"} <= {p.name for p in half.iterdir()}
    for name in ("unet/config.json", "model_index.json"):
        assert str(trained) not in (half / name).read_text()


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.slow
def test_a_start_from_a_model_that_has_seen_held_out_galaxies_is_refused(trained, toy_data, tmp_path, split):
    """At once, and not when its images are to be judged, after hours of training."""
    parent = shutil.copytree(trained, tmp_path / "parent")
    held_out = load_arrays(str(toy_data), split, 32)
    with (parent / "seen_images.csv").open("a") as file:
        file.write(f"{held_out.image_ids[0]},{held_out.digests[0]}\n")
    record = json.loads((parent / "run.json").read_text())
    digest = sha256((parent / "seen_images.csv").read_bytes()).hexdigest()
    (parent / "run.json").write_text(json.dumps({**record, DIGEST: digest}))
    config = train_ddpm.Config(str(toy_data), tmp_path / "run", init_from=str(parent), total_images=8, batch_size=8)
    with pytest.raises(UserError, match=f"saw {held_out.image_ids[0]} of the {split} split"):
        train_ddpm.main(config)
    assert not (tmp_path / "run").exists()
    (parent / "seen_images.csv").unlink()
    train_ddpm.main(config)  # a model from elsewhere does not say what it has seen


def test_what_a_rare_class_has_set_aside_is_not_learned_from(trained, rare_data, tmp_path):
    """Not even by way of the model that the training starts from."""
    reserve = load_arrays(str(rare_data), "reserve", 32)
    train_ddpm.main(tiny(rare_data, tmp_path / "run", total_images=8))
    assert len(reserve) == 12
    assert len(read_seen_images(tmp_path / "run").rows(reserve)) == 0
    config = train_ddpm.Config(str(rare_data), tmp_path / "more", init_from=str(trained), total_images=8, batch_size=8)
    with pytest.raises(UserError, match=f"saw {reserve.image_ids[0]} of the reserve split"):
        train_ddpm.main(config)


def test_votes_of_data_without_votes_are_refused(toy_data, tmp_path):
    with pytest.raises(UserError, match="no vote fractions"):
        train_ddpm.main(tiny(toy_data, tmp_path, conditioning="votes"))


def test_a_net_that_learns_votes_is_asked_for_classes(toy_data, tmp_path, monkeypatch):
    def load(*arguments):
        galaxies = load_arrays(*arguments)
        votes = np.random.default_rng(0).random((len(galaxies), len(VOTE_COLUMNS)), dtype=np.float32)
        return replace(galaxies, votes=votes)

    monkeypatch.setattr(train_ddpm, "load_arrays", load)
    changes = {"conditioning": "votes", "validation_images": 32, "total_images": 32}
    train_ddpm.main(tiny(toy_data, tmp_path, **changes))
    pipeline = load_pipeline(str(tmp_path), "dpmsolver++", torch.device("cpu"))
    images = generate_batch(pipeline, [0, 4], [0, 0], guidance_scale=2.0, num_inference_steps=2)
    assert (images[0] != images[1]).any()
    table = pipeline.unet.class_embedding.weight
    assert table.shape[0] == 5 + 37 + 1
    spirals = load(str(toy_data), "train", 32)
    mean = torch.from_numpy(spirals.votes[spirals.labels == 4].mean(axis=0))
    torch.testing.assert_close(table[4], mean @ table[5:-1], rtol=1e-4, atol=1e-4)


class Drawn:
    """Eight images of four classes that nobody confuses: bars of four colours, narrow and wide."""

    def __init__(self, side: int = 8):
        colours = {"red": (1, 0.1, 0.1), "green": (0.1, 1, 0.1), "blue": (0.1, 0.1, 1), "white": (1, 1, 1)}
        y, x = np.mgrid[:side, :side] - (side - 1) / 2
        profiles = [np.exp(-(x**2 + (2 * y) ** 2) / (2 * width**2))[..., None] for width in (1.5, 3.0)]
        images = [20 + 220 * profile * colour for colour in map(np.array, colours.values()) for profile in profiles]
        labels, names = np.arange(8) // 2, [str(i) for i in range(8)]
        self.train = GalaxyArrays(np.stack(images).astype(np.uint8), labels, names, names, tuple(colours))

    def load(self, data: str, split: str, *_) -> GalaxyArrays:
        if split == "train":
            return self.train
        return replace(self.train, images=self.train.images[:0], labels=self.train.labels[:0], image_ids=[], digests=[])

    def distances(self, images: np.ndarray) -> np.ndarray:
        """Grey levels (root mean square) from each image to the nearest of each class, however turned, shape (N, 4)."""
        pixels = torch.from_numpy(self.train.images).permute(0, 3, 1, 2).float().repeat_interleave(8, dim=0)
        known = turn(pixels, torch.arange(8).repeat(8)).permute(0, 2, 3, 1).numpy()
        squares = np.square(images[:, None].astype(float) - known).mean(axis=(2, 3, 4))
        return np.sqrt(squares).reshape(-1, 4, 16).min(axis=2)


@pytest.mark.parametrize(
    ("prediction_type", "schedule", "steps"),
    [("epsilon", "linear", 2000), ("v_prediction", "squaredcos_cap_v2", 400), ("sample", "squaredcos_cap_v2", 400)],
)
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_images_are_learned_by_heart(tmp_path, monkeypatch, prediction_type, schedule, steps):
    """Every sample is like an image of its class: no wrong sign, target or schedule passes."""
    drawn = Drawn()
    monkeypatch.setattr(train_ddpm, "load_arrays", drawn.load)
    config = train_ddpm.Config(
        "drawn",
        tmp_path,
        resolution=8,
        block_out_channels=[16, 32],
        attention_levels=[],
        norm_num_groups=4,
        prediction_type=prediction_type,
        beta_schedule=schedule,
        total_images=8 * steps,
        batch_size=8,
        learning_rate=4e-3,
        warmup_images=400,
        ema_decay=0.98,
        log_images=1600,
        sample_images=0,
        checkpoint_images=8 * steps,
    )
    train_ddpm.main(config)
    pipeline = load_pipeline(str(tmp_path), "ddpm", torch.device("cpu"))
    labels = [0, 1, 2, 3] * 4
    distances = drawn.distances(
        generate_batch(pipeline, labels, list(range(16)), guidance_scale=1.0, num_inference_steps=125)
    )
    np.testing.assert_array_equal(distances.argmin(axis=1), labels)
    assert np.median(distances[np.arange(16), labels]) < 20, "grey levels; images of two classes differ by 50"


def test_a_data_folder_with_a_test_galaxy_in_train_is_refused(toy_data, tmp_path):
    leaky = shutil.copytree(toy_data, tmp_path / "leaky")
    train, test = (datasets.load_dataset(str(toy_data), split=split) for split in ("train", "test"))
    datasets.concatenate_datasets([train, test.select([0])]).to_parquet(next((leaky / "data").glob("train*.parquet")))
    for name, script in (("ddpm", train_ddpm.main), ("classifier", train_classifier.main)):
        settings = tiny if name == "ddpm" else lambda data, output: train_classifier.Config(str(data), output)
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
        ({"resolution": 31}, "does not divide into patches of 2"),
        ({"resolution": 34}, "17 patches a side cannot be halved"),
        ({"attention_head_dim": 24}, "attention_head_dim 24 does not divide"),
        ({"norm_num_groups": 3}, "norm_num_groups 3 does not divide"),
        ({"lora_rank": 2}, "give it with --init_from"),
        ({"init_from": "/no/such/model"}, "init_from /no/such/model: cannot be loaded"),
        ({"zero_terminal_snr": True, "min_snr_gamma": 5.0}, "leave one of them out"),
        ({"data": "/no/such/folder"}, "no such folder"),
        ({"learning_rate": 1e30}, "the loss is not a number"),
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
        if config.init_from:
            parent = train_ddpm.load_parent(config.init_from)
            assert parent.net_for(["a", "null"], parent.resolution).config.num_class_embeds == 2
            continue
        assert config.resolution % 2 ** (len(config.block_out_channels) - 1) == 0
        if config.resolution <= 64:
            assert train_ddpm.make_unet(config, config.resolution, 6).config.num_class_embeds == 6


def test_the_folder_is_a_diffusers_pipeline(trained):
    index = json.loads((trained / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DModel"]
    assert issubclass(ClassConditionalDDPMPipeline, DiffusionPipeline)
    assert index["id2label"]["4"] == "spiral"
