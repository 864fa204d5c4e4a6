"""Metrics match the checkpoints, and one folder holds one run."""

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import pytest

from galaxy_diffusion.shared.run_folder import FREE, MetricsLog, fixed_settings, same_run
from gz2_dataset import UserError


@dataclass
class Settings:
    output_dir: Path = field(metadata=FREE)
    name: str
    resolution: int = 32
    channels: list[int] = field(default_factory=lambda: [8, 16])
    log_images: int = field(default=10, metadata=FREE)


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


def test_a_line_that_is_no_record_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"images_seen": 10}\n5\n{"images_seen": 30}\n')
    with pytest.raises(UserError, match=r"metrics.jsonl, line 2: .*remove the line"):
        MetricsLog(path, 20)


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_damaged_settings_are_named(tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(UserError, match=r"settings.json: cannot be read .*; restore it, or give another --output_dir"):
        same_run(tmp_path / "settings.json", {})
