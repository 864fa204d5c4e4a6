"""The whole study through the Snakefile, from drawn galaxies to the report, with the test presets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT

STUDY_PRESETS = sorted((ROOT / "configs").glob("study_*.yaml"))


def snakemake(preset: Path, *options: str) -> str:
    command = ["-s", "workflow/Snakefile", "--configfile", str(preset), "--cores", "2", *options]
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *command, "--rerun-triggers", "mtime", "params"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def preset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    study = {
        "output_dir": str(folder / "run"),
        "accelerate": "configs/accelerate/one_process.yaml",
        "data": {"mock": {"num_images": 150, "seed": 0}, "build": {"test_per_class": 6, "validation_per_class": 2}},
        "ddpm": {"config": "configs/ddpm_tiny.yaml"},
        "generated": {"num_images": "cigar_shaped_smooth=4", "seed": 0, "num_inference_steps": 2},
        "showcase": {"num_images": 2, "seed": 100, "scheduler": "ddpm", "num_inference_steps": 10},
        "classifiers": {"tiny": "configs/classifier_tiny.yaml"},
        "classifier_options": {"max_steps": 10},
        "seeds": [0],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder / "study.yaml"


@pytest.mark.timeout(600)
def test_from_drawn_galaxies_to_the_report_and_no_further(preset):
    run = preset.parent / "run"
    snakemake(preset)
    page = (run / "report/index.html").read_text()
    for part in ("Table 1", "Table 2", "Table 3", "Table 4"):
        assert part in page
    assert 'src="http' not in page
    for file in ("table1.csv", "table4.csv", "figure3.png", "figure4.png"):
        assert (run / "report" / file).stat().st_size > 0
    original, augmented = (
        json.loads((run / f"classifiers/tiny/{arm}/seed0/metrics.json").read_text())
        for arm in ("original", "augmented")
    )
    cigars = original["n_train"]["cigar_shaped_smooth"]
    assert augmented["n_train"]["cigar_shaped_smooth"] == {"real": cigars["real"], "generated": 4}
    assert original["steps"] == augmented["steps"] == 10

    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    assert "Nothing to be done" in snakemake(preset)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("study", STUDY_PRESETS, ids=lambda path: path.stem)
def test_every_study_preset_names_files_that_exist(study):
    settings = yaml.safe_load(study.read_text())
    files = [settings["accelerate"], settings["ddpm"]["config"], *settings["classifiers"].values()]
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert {"title", "output_dir", "data", "generated", "showcase", "seeds"} <= set(settings)
