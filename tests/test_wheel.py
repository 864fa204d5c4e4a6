"""An installed wheel, far from the clone: the command, drawn galaxies, a training by preset name, images from it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.slow


class Wheel:
    """The project's wheel in its own environment, which borrows the other packages from that of the tests."""

    def __init__(self, folder: Path) -> None:
        environment = folder / "environment"
        self.working_directory = folder / "elsewhere"
        self.working_directory.mkdir()
        checked([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
        (wheel,) = folder.glob("*.whl")
        checked([sys.executable, "-m", "venv", "--without-pip", str(environment)], folder)
        self.scripts = environment / ("Scripts" if os.name == "nt" else "bin")
        pip = [sys.executable, "-m", "pip", "--python", str(self.scripts / "python"), "--disable-pip-version-check"]
        checked([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], folder)
        (self.packages,) = environment.rglob("site-packages")
        # Lines of a .pth file are plain folders: an editable install that they hold is not followed.
        borrowed = [path for path in sys.path if path.endswith("site-packages")]
        (self.packages / "borrowed.pth").write_text("\n".join(borrowed))

    def run(self, *arguments: object) -> str:
        """What ``galaxy-diffusion`` prints, run outside of the clone."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [str(self.scripts / "galaxy-diffusion"), *map(str, arguments)]
        return checked(command, self.working_directory, environment)


def checked(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Wheel:
    return Wheel(tmp_path_factory.mktemp("wheel"))


def test_the_help_and_version_come_from_the_wheel(wheel):
    assert "train-ddpm" in wheel.run("--help")
    assert wheel.run("--version").split()[0] == "galaxy-diffusion"
    settings = wheel.run("train-ddpm", "--print_config", "--config", "ddpm_32", "--data", "x", "--output_dir", "y")
    assert "resolution: 32" in settings


def test_every_preset_table_and_page_is_in_the_wheel(wheel):
    shipped = [path for path in ROOT.glob("*/**/*") if path.suffix in {".yaml", ".csv", ".html", ".md", ".py"}]
    for folder, home in (("configs", "galaxy_diffusion/recipes"), ("galaxy_diffusion", ""), ("gz2_dataset", "")):
        names = [path.relative_to(ROOT) for path in shipped if path.relative_to(ROOT).parts[0] == folder]
        assert names
        assert [name for name in names if not (wheel.packages / home / name).exists()] == []


@pytest.mark.timeout(600)
def test_from_drawn_galaxies_to_generated_ones(wheel):
    wheel.run("data", "mock", "--output", "mock", "--num_images", 60)
    held_out = ("--test_per_class", 2, "--validation_per_class", 1)
    wheel.run("data", "build", "--data_dir", "mock", "--output", "data", *held_out)
    wheel.run("train-ddpm", "--config", "ddpm_tiny", "--data", "data", "--output_dir", "ddpm")
    drawn = ("--num_images", "spiral=2", "--num_inference_steps", 2)
    wheel.run("generate", "--model", "ddpm", "--output_dir", "generated", *drawn)
    assert len((wheel.working_directory / "generated" / "metadata.jsonl").read_text().splitlines()) == 2


def test_a_study_is_planned_with_the_scripts_and_presets_of_the_wheel(wheel):
    planned = wheel.run("study", "--config", "study_demo", "--dry-run", "--printshellcmds")
    recipes = wheel.packages / "galaxy_diffusion" / "recipes"
    assert f"{recipes}/train_ddpm.py --config {recipes}/configs/ddpm_64_finetune.yaml" in planned
    assert (recipes / "pretrained/galaxies-64/model_index.json").is_file(), "which that preset starts from"
    assert f"--config {recipes}/configs/arms/oversampling.yaml" in planned
