"""Checkpoints are whole or absent, metrics match them, and one folder holds one run."""

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from galaxy_diffusion.shared.run_folder import (
    FREE,
    MetricsLog,
    checkpoints,
    fixed_settings,
    load_newest,
    remove,
    same_run,
    save_checkpoint,
)
from galaxy_diffusion.shared.state_file import write_state
from gz2_dataset import UserError


@dataclass
class Settings:
    output_dir: Path = field(metadata=FREE)
    name: str
    resolution: int = 32
    channels: list[int] = field(default_factory=lambda: [8, 16])
    log_images: int = field(default=10, metadata=FREE)


@pytest.fixture
def run():
    accelerator = Accelerator(cpu=True)
    return accelerator, {"net": accelerator.prepare(torch.nn.Linear(2, 2))}


def test_the_newest_whole_checkpoint_is_loaded_and_old_ones_go(run, tmp_path):
    accelerator, parts = run
    for images_seen in (10, 20, 300):
        torch.nn.init.constant_(parts["net"].weight, images_seen)
        save_checkpoint(accelerator, parts, tmp_path, images_seen)
    torch.nn.init.zeros_(parts["net"].weight)
    assert load_newest(accelerator, parts, tmp_path) == 300
    assert parts["net"].weight.unique().tolist() == [300]
    assert len(checkpoints(tmp_path)) == 2


def test_an_interrupted_checkpoint_is_as_if_it_were_not(run, tmp_path, monkeypatch):
    accelerator, parts = run
    save_checkpoint(accelerator, parts, tmp_path, 10)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("galaxy_diffusion.shared.run_folder.write_state", killed)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(accelerator, parts, tmp_path, 20)
    assert load_newest(accelerator, parts, tmp_path) == 10
    save_checkpoint(accelerator, parts, tmp_path, 20)
    assert load_newest(accelerator, parts, tmp_path) == 20


@pytest.mark.parametrize("fault", [OSError, SafetensorError])
def test_a_full_disk_is_told_in_one_line(run, tmp_path, monkeypatch, fault):
    accelerator, parts = run

    def full(*_):
        raise fault("No space left on device")

    monkeypatch.setattr("galaxy_diffusion.shared.run_folder.write_state", full)
    with pytest.raises(UserError, match="No space left on device"):
        save_checkpoint(accelerator, parts, tmp_path, 20)


def test_the_random_numbers_go_on_where_they_were(run, tmp_path):
    accelerator, parts = run
    torch.manual_seed(3)
    save_checkpoint(accelerator, parts, tmp_path, 10)
    expected = torch.rand(4)
    load_newest(accelerator, parts, tmp_path)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda checkpoint: (checkpoint / "net.safetensors").unlink(),
        lambda checkpoint: (checkpoint / "net.safetensors").write_bytes(b""),
        lambda checkpoint: (checkpoint / "net.safetensors").write_bytes(b"\xff" * 64),
        lambda checkpoint: (checkpoint / "random_0.safetensors").write_bytes(b"cut"),
        lambda checkpoint: write_state(checkpoint / "net.safetensors", {"weight": torch.ones(9, 9)}),
        lambda checkpoint: write_state(checkpoint / "net.safetensors", 7),
    ],
    ids=["gone", "empty", "garbage", "random", "shape", "kind"],
)
def test_a_checkpoint_that_cannot_be_continued_is_told_in_one_line(run, tmp_path, spoil):
    accelerator, parts = run
    save_checkpoint(accelerator, parts, tmp_path, 10)
    spoil(tmp_path / "images-000000000010")
    with pytest.raises(UserError, match=r"images-000000000010: is no checkpoint .*; remove it, and the same") as told:
        load_newest(accelerator, parts, tmp_path)
    assert "\n" not in str(told.value)


def test_nothing_to_load_means_the_beginning(run, tmp_path):
    assert load_newest(*run, tmp_path / "none") == 0


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path):
    path = tmp_path / "run/metrics.jsonl"
    log = MetricsLog(path, 0)
    for images_seen in (10, 20, 30):
        log.write(images_seen=images_seen, loss=1.0)
    with path.open("a") as file:
        file.write('{"images_seen": 4')  # killed while writing
    assert MetricsLog(path, 20).last == {"images_seen": 20, "loss": 1.0}
    assert [json.loads(line)["images_seen"] for line in path.read_text().splitlines()] == [10, 20]


def test_a_folder_holds_one_run(tmp_path):
    settings = {"resolution": 32, "channels": (8, 16)}
    same_run(tmp_path / "settings.json", settings)
    same_run(tmp_path / "settings.json", settings)
    with pytest.raises(UserError, match=r"another resolution \(32, now 64\)"):
        same_run(tmp_path / "settings.json", {**settings, "resolution": 64})


@pytest.mark.parametrize("changed", fields(Settings), ids=lambda changed: changed.name)
def test_the_same_run_may_change_its_free_settings_and_no_others(tmp_path, changed):
    config = Settings(tmp_path, "one")
    other = replace(config, **{changed.name: {"output_dir": Path("elsewhere"), "channels": [8]}.get(changed.name, 64)})
    same_run(tmp_path / "settings.json", fixed_settings(config))
    if changed.name in ("output_dir", "log_images"):
        same_run(tmp_path / "settings.json", fixed_settings(other))
        return
    with pytest.raises(UserError, match=f"another {changed.name}"):
        same_run(tmp_path / "settings.json", fixed_settings(other))


@pytest.mark.parametrize(
    ("earlier", "message"),
    [
        ({"max_steps": 800, "seed": 0, "total_images": 25600}, r"another max_steps \(800, now None\); give another --"),
        ({"seed": 0}, r"another total_images \(None, now 25600\); give another --output_dir"),
    ],
)
def test_a_run_that_knew_other_settings_is_refused_by_their_names(tmp_path, earlier, message):
    same_run(tmp_path / "settings.json", earlier)
    with pytest.raises(UserError, match=message):
        same_run(tmp_path / "settings.json", {"total_images": 25600, "seed": 0})


def test_fixed_settings_are_those_that_are_not_free(tmp_path):
    settings = fixed_settings(Settings(tmp_path, "one", channels=[4]))
    assert settings == {"name": "one", "resolution": 32, "channels": [4]}


def test_half_a_removed_checkpoint_is_none(run, tmp_path, monkeypatch):
    accelerator, parts = run
    for images_seen in (10, 20):
        save_checkpoint(accelerator, parts, tmp_path, images_seen)

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("galaxy_diffusion.shared.run_folder.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(tmp_path / "images-000000000020")
    assert [path.name for path in checkpoints(tmp_path)] == ["images-000000000010"]
