"""benchmarks/gpu.py, rehearsed with a tiny net on the CPU."""

import json
import tarfile
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

import train_ddpm
from benchmarks import gpu
from gz2_dataset import UserError


def test_the_presets_that_it_trains_are_there():
    assert [name for name in gpu.Config("", Path()).presets if not gpu.preset_file(name).is_file()] == []
    with pytest.raises(UserError, match=r"there is no .*ddpm_65\.yaml"):
        gpu.main(gpu.Config("", Path(), presets=["ddpm_65"]))


def test_a_training_gets_most_of_the_time_that_is_left():
    assert gpu.images_in(10.0, 100.0, 16) == 928
    assert gpu.images_in(-3.0, 100.0, 16) == 0


@pytest.mark.parametrize("outcome", [{"loss": 0.51, "images_per_second": 9.0}, {"loss": 0.6}, RuntimeError("capture")])
def test_a_graph_is_left_out_where_it_fails_or_learns_otherwise(monkeypatch, tmp_path, outcome):
    tried = []

    def timed(trial):
        tried.append(trial.cuda_graph)
        if trial.cuda_graph and isinstance(outcome, Exception):
            raise outcome
        return 1.0, outcome if trial.cuda_graph else {"loss": 0.5, "images_per_second": 3.0}

    monkeypatch.setattr(gpu, "timed", timed)
    preset = train_ddpm.Config("data", tmp_path, cuda_graph=True)
    _, rate, found = gpu.with_graph_or_without(preset, preset, {"loss": 0.505})
    works = isinstance(outcome, dict) and outcome["loss"] < 0.6
    assert (tried, rate, found.cuda_graph) == (([True], 9.0, True) if works else ([True, False], 3.0, False))


@pytest.fixture
def fresh_accelerate():
    """Precision is set once in a process, and other tests have set theirs."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.slow
def test_nets_are_timed_with_their_patches_and_without(tmp_path, fresh_accelerate):
    gpu.measure_costs(gpu.Config("", tmp_path, measured=["ddpm_tiny"]))
    header, _, patches, plain = [line.split(" | ") for line in (tmp_path / "costs.md").read_text().splitlines()]
    assert (patches[2], plain[2]) == ("2", "1")
    assert int(plain[5].removesuffix(" MB")) > int(patches[5].removesuffix(" MB")), header[5]
    assert float(plain[6].rstrip(" |")) > 0, header[6]


@pytest.mark.slow
def test_a_model_its_samples_and_its_speed_are_packed(toy_data, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "SECONDS_AT_THE_END", 0)
    monkeypatch.setattr(gpu, "images_in", lambda *_: 64)
    monkeypatch.setattr(gpu, "MEASURED_STEPS", 4)
    monkeypatch.setattr(gpu, "LOGGED_STEPS", 2)

    class Alone:
        def wait(self):
            pass

        def abort(self):
            raise AssertionError("it failed while it compiled")

    gpu.train(gpu.Config(str(toy_data), tmp_path), "ddpm_tiny", 0.0, Alone())
    with tarfile.open(tmp_path / "ddpm_tiny.tar.gz") as packed:
        names = packed.getnames()
    assert {"./unet/diffusion_pytorch_model.safetensors", "./pipeline.py", "./seen_images.csv"} <= set(names)
    with tarfile.open(tmp_path / "ddpm_tiny-samples.tar.gz") as packed:
        assert "./000000000128.png" in packed.getnames()
    measured = json.loads((tmp_path / "ddpm_tiny.json").read_text())
    assert measured["total_images"] == 128
    assert 0 < measured["share_of_peak"] < 1
