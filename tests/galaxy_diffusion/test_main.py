"""The command galaxy-diffusion: which script a name runs, where it finds presets, what accelerate starts."""

import subprocess
import sys

import pytest

from galaxy_diffusion.__main__ import COMMANDS, command_line, find_preset, presets
from galaxy_diffusion.shared.shipped import HOME
from tests.conftest import ROOT

LAUNCH = ["-m", "galaxy_diffusion.launch", "--quiet"]


def test_every_script_has_a_name():
    recipes = {path.name for path in ROOT.glob("*.py") if "__main__" in path.read_text()}
    assert recipes == {command.target for command in COMMANDS.values() if command.target.endswith(".py")}


def test_the_help_names_every_command_and_preset():
    printed = subprocess.run([sys.executable, "-m", "galaxy_diffusion", "--help"], capture_output=True, text=True)
    assert printed.returncode == 0
    for word in (*COMMANDS, *(command.summary for command in COMMANDS.values()), "ddpm_32", "study_demo"):
        assert word in printed.stdout


def test_a_training_is_started_by_accelerate_with_the_preset_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = [*LAUNCH, str(HOME / "train_ddpm.py"), "--config", str(HOME / "configs/ddpm_32.yaml"), "--seed", "3"]
    assert command_line(["train-ddpm", "--config", "ddpm_32", "--seed", "3"]) == expected


def test_a_configuration_of_accelerate_is_found_by_name_too():
    command = command_line(["generate", "--accelerate", "multi_gpu", "--model", "runs/mine/ddpm"])
    assert command[:5] == [*LAUNCH, "--config_file", str(HOME / "configs/accelerate/multi_gpu.yaml")]
    assert command[6:] == ["--model", "runs/mine/ddpm"]


@pytest.mark.parametrize("option", ["--help", "-h", "--print_config", "--help=loss"])
def test_what_only_prints_needs_no_accelerate(option):
    assert command_line(["train-classifier", option]) == [str(HOME / "train_classifier.py"), option]


@pytest.mark.parametrize(
    ("name", "script"), [("evaluate", "evaluate_images.py"), ("predict", "predict.py"), ("report", "report.py")]
)
def test_what_trains_nothing_needs_no_accelerate(name, script):
    assert command_line([name, "--output_dir", "x"]) == [str(HOME / script), "--output_dir", "x"]


def test_a_study_is_a_graph_and_its_own_options_win():
    command = command_line(["study", "--config", "study_demo", "--cores", "2", "--dry-run"])
    assert command[:4] == ["-m", "snakemake", "-s", str(HOME / "workflow/Snakefile")]
    assert command[5] == str(HOME / "configs/study_demo.yaml")
    assert command.index("all") < command.index("2")
    assert command[-1] == "--dry-run"


def test_several_presets_lie_over_each_other_in_their_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = command_line(["train-classifier", "--config=classifier_tiny", "--config", "arms/mixup", "--seed", "1"])
    files = [f"--config={HOME / 'configs/classifier_tiny.yaml'}", "--config", str(HOME / "configs/arms/mixup.yaml")]
    assert command[-5:] == [*files, "--seed", "1"]


def test_a_file_of_ones_own_comes_before_a_preset_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ddpm_32").write_text("seed: 1\n")
    assert find_preset("ddpm_32") == "ddpm_32"
    assert find_preset("configs/ddpm_32.yaml") == str(HOME / "configs/ddpm_32.yaml")
    assert find_preset("ddpm_31") == "ddpm_31"


def test_a_folder_named_like_a_preset_is_no_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ddpm_32").mkdir()
    assert find_preset("ddpm_32") == str(HOME / "configs/ddpm_32.yaml")


def test_presets_are_those_of_configs():
    assert {"ddpm_32", "sagan_32", "arms/smote", "study_demo"} <= set(presets())
    assert "accelerate/multi_gpu" not in presets()


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit) as left:
        command_line(["train"])
    assert left.value.code == 2
    assert "train-ddpm" in capsys.readouterr().err


def test_a_study_says_what_it_lacks(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command_line(["study", "--config", "study_dmeo"])
    assert "no file or preset 'study_dmeo'" in capsys.readouterr().err
    monkeypatch.setattr("galaxy_diffusion.__main__.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        command_line(["study", "--config", "study_demo"])
    assert 'pip install ".[study]"' in capsys.readouterr().err


def test_a_studys_preset_that_is_a_bomb_is_one_line(tmp_path, capsys):
    (tmp_path / "bomb.yaml").write_text("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n")
    with pytest.raises(SystemExit):
        command_line(["study", "--config", str(tmp_path / "bomb.yaml")])
    assert "bomb.yaml: cannot be read" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("warm_python")
def test_an_unknown_preset_is_named_by_its_script():
    command = [sys.executable, "-m", "galaxy_diffusion", "report", "--config", "no_such_preset"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no_such_preset" in done.stderr
    assert "Traceback" not in done.stderr
