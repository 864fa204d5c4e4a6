"""Checkpoints are whole or absent, and the newest whole one is continued."""

import os

import pytest
import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from galaxy_diffusion.shared.checkpoint import MANIFEST, checkpoints, load_newest, remove, save_checkpoint
from galaxy_diffusion.shared.state_file import write_state
from gz2_dataset import UserError


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
        context.setattr("galaxy_diffusion.shared.checkpoint.write_state", killed)
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

    save_checkpoint(accelerator, parts, tmp_path, 10)
    monkeypatch.setattr("galaxy_diffusion.shared.checkpoint.write_state", full)
    with pytest.raises(UserError, match=r"No space left on device.*the last checkpoint is .*images-000000000010"):
        save_checkpoint(accelerator, parts, tmp_path, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["images-000000000010"]


def test_the_random_numbers_go_on_where_they_were(run, tmp_path):
    accelerator, parts = run
    torch.manual_seed(3)
    save_checkpoint(accelerator, parts, tmp_path, 10)
    expected = torch.rand(4)
    load_newest(accelerator, parts, tmp_path)
    assert torch.equal(torch.rand(4), expected)


SPOILED = {
    "gone": lambda checkpoint: (checkpoint / "net.safetensors").unlink(),
    "empty": lambda checkpoint: (checkpoint / "net.safetensors").write_bytes(b""),
    "garbage": lambda checkpoint: (checkpoint / "net.safetensors").write_bytes(b"\xff" * 64),
    "random": lambda checkpoint: (checkpoint / "random_0.safetensors").write_bytes(b"cut"),
    "shape": lambda checkpoint: write_state(checkpoint / "net.safetensors", {"weight": torch.ones(9, 9)}),
    "kind": lambda checkpoint: write_state(checkpoint / "net.safetensors", 7),
    "manifest": lambda checkpoint: (checkpoint / MANIFEST).write_text("{"),
    "nothing": lambda checkpoint: [path.unlink() for path in checkpoint.iterdir()],
    "other numbers": lambda checkpoint: write_state(
        checkpoint / "net.safetensors", {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    ),
    "pipe": lambda checkpoint: os.mkfifo(checkpoint / "ema.safetensors"),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(run, tmp_path, spoil, capsys):
    accelerator, parts = run
    for images_seen in (10, 20):
        torch.nn.init.constant_(parts["net"].weight, images_seen)
        save_checkpoint(accelerator, parts, tmp_path, images_seen)
    newest = tmp_path / "images-000000000020"
    spoil(newest)
    assert load_newest(accelerator, parts, tmp_path) == 10
    assert parts["net"].weight.unique().tolist() == [10]
    assert f"{newest} is damaged" in capsys.readouterr().err
    save_checkpoint(accelerator, parts, tmp_path, 20)
    assert [path.name for path in checkpoints(tmp_path)] == ["images-000000000010", "images-000000000020"]


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_checkpoint_that_cannot_be_continued_is_told_in_one_line(run, tmp_path, spoil):
    accelerator, parts = run
    save_checkpoint(accelerator, parts, tmp_path, 10)
    spoil(tmp_path / "images-000000000010")
    with pytest.raises(UserError, match=r"images-000000000010: is no checkpoint .*; remove it, and the same") as told:
        load_newest(accelerator, parts, tmp_path)
    assert "\n" not in str(told.value)


def test_nothing_to_load_means_the_beginning(run, tmp_path):
    assert load_newest(*run, tmp_path / "none") == 0


def test_half_a_removed_checkpoint_is_none(run, tmp_path, monkeypatch):
    accelerator, parts = run
    for images_seen in (10, 20):
        save_checkpoint(accelerator, parts, tmp_path, images_seen)

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("galaxy_diffusion.shared.checkpoint.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(tmp_path / "images-000000000020")
    assert [path.name for path in checkpoints(tmp_path)] == ["images-000000000010"]


def test_a_weight_that_is_not_a_number_is_not_saved_and_the_last_checkpoint_is_named(run, tmp_path):
    accelerator, parts = run
    save_checkpoint(accelerator, parts, tmp_path, 10)
    parts["net"].weight.data[0, 0] = float("nan")
    with pytest.raises(UserError, match=r"net after 20 images.*not a number.*the last checkpoint is .*00010$"):
        save_checkpoint(accelerator, parts, tmp_path, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["images-000000000010"]


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(run, tmp_path, monkeypatch):
    """A power failure after the rename would else leave files of zeros under a good name."""
    accelerator, parts = run
    done, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(os.readlink(f"/proc/self/fd/{handle}")) or sync(handle))
    save_checkpoint(accelerator, parts, tmp_path, 10)
    aside = f"{tmp_path}/.images-000000000010"
    files = {f"{aside}/{path.name}" for path in (tmp_path / "images-000000000010").iterdir()}
    assert files | {aside} == set(done[:-1])
    assert done[-1] == str(tmp_path)
