"""Options, one-line errors and provenance, as every script has them."""

import importlib
import inspect
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from gz2_dataset import UserError
from gz2_dataset.__main__ import build, push
from gz2_dataset.command_line import parse_counts, provenance, run, run_functions
from gz2_dataset.foreign_flags import FOREIGN
from tests.conftest import ROOT


@dataclass
class Config:
    """Settings.

    Attributes
    ----------
    data : Path
        Where the galaxies are.
    steps : int
        How long.
    """

    data: Path
    steps: int = 3


def call(monkeypatch, *arguments: str) -> Config:
    received = []
    monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
    run(received.append, Config, "Does something.")
    return received[0]


def test_options_win_over_the_config_file(monkeypatch, tmp_path):
    (tmp_path / "c.yaml").write_text("data: here\nsteps: 5\n")
    assert call(monkeypatch, "--config", str(tmp_path / "c.yaml")) == Config(Path("here"), 5)
    assert call(monkeypatch, "--config", str(tmp_path / "c.yaml"), "--steps", "7") == Config(Path("here"), 7)


def test_a_preset_may_start_from_another_beside_it(monkeypatch, tmp_path):
    """Read at the position of the key `config`, relative to the preset itself; later values take precedence."""
    (tmp_path / "base.yaml").write_text("data: here\nsteps: 5\n")
    (tmp_path / "delta.yaml").write_text("config: base.yaml\nsteps: 7\n")
    assert call(monkeypatch, "--config", str(tmp_path / "delta.yaml")) == Config(Path("here"), 7)
    assert call(monkeypatch, "--config", str(tmp_path / "delta.yaml"), "--steps", "9") == Config(Path("here"), 9)


def test_print_config_can_be_read_again(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, "--data", "there", "--steps", "9", "--print_config")
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert yaml.safe_load(printed.read_text()) == {"data": "there", "steps": 9}
    assert call(monkeypatch, "--config", str(printed)) == Config(Path("there"), 9)


def test_an_editor_gets_the_schema_of_a_preset(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, "--print_completion", "jsonschema")
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"]["data"]["description"] == "Where the galaxies are."
    assert schema["properties"]["steps"]["default"] == 3
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--models", "a"], ["a"]),
        (["--models", "a b", "c=[1]", "--steps", "9"], ["a b", "c=[1]"]),
        (["--steps", "9", "--models", "[a, c]"], ["a", "c"]),
        (["--models", "a", "--models+", "c"], ["a", "c"]),
        (["--models=[a,c]"], ["a", "c"]),
        (["--models", "--steps", "9"], []),
    ],
)
def test_a_list_takes_one_or_more_values(arguments, expected, monkeypatch, tmp_path):
    @dataclass
    class Several(Config):
        models: list[str] = field(default_factory=list)

    (tmp_path / "preset.yaml").write_text("data: here\nmodels: [in_the_preset]\n")
    monkeypatch.setattr(sys, "argv", ["script.py", "--config", str(tmp_path / "preset.yaml"), *arguments])
    received = []
    run(received.append, Several, "")
    assert received[0].models == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--dry_run"], (True, None)),
        (["--dry_run", "--steps", "9", "--maybe"], (True, True)),
        (["--dry_run", "false", "--maybe=true"], (False, True)),
    ],
)
def test_a_flag_needs_no_value(arguments, expected, monkeypatch):
    @dataclass
    class Flags(Config):
        dry_run: bool = False
        maybe: bool | None = None

    monkeypatch.setattr(sys, "argv", ["script.py", "--data", "here", *arguments])
    received = []
    run(received.append, Flags, "")
    assert (received[0].dry_run, received[0].maybe) == expected


def test_a_flag_of_a_subcommand_needs_no_value(monkeypatch):
    received = []

    def push(folder: Path, *, private: bool = False, repo_id: str = "") -> None:
        """Push."""
        received.append((str(folder), private, repo_id))

    monkeypatch.setattr(sys, "argv", ["gz2", "push", "here", "--private", "--repo_id", "me/galaxies"])
    run_functions({"push": push}, "")
    assert received == [("here", True, "me/galaxies")]


def test_a_flag_of_another_tool_is_one_line_that_names_ours(monkeypatch, capsys):
    @dataclass
    class Training(Config):
        batch_size: int = 64

    def said(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["script.py", "--data", "here", *arguments])
        with pytest.raises(SystemExit) as exit_:
            run(print, Training, "")
        assert exit_.value.code == 2
        return capsys.readouterr().err

    ours = "--train_batch_size: no option here; give --batch_size"
    assert said("--train_batch_size", "16").startswith(f"error: {ours}")
    assert said("--train_batch_size=16").startswith(f"error: {ours}")
    assert "the same command goes on" in said("--resume_from_checkpoint", "latest")
    assert "min_snr_gamma" not in said("--snr_gamma", "5"), "this command has none"


def test_what_is_named_instead_of_a_foreign_flag_exists():
    scripts = [importlib.import_module(path.stem) for path in (*ROOT.glob("train_*.py"), ROOT / "generate.py")]
    options = {name for script in scripts for name in script.Config.__dataclass_fields__}
    options |= set(inspect.signature(build).parameters) | set(inspect.signature(push).parameters)
    for flag, remedy in FOREIGN.items():
        assert set(re.findall(r"--(\w+)", remedy)) <= options, flag


def test_help_explains_each_option(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, "--help")
    shown = capsys.readouterr().out
    assert "Where the galaxies are." in shown
    assert "default: 3" in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--data", "x", "--stepz", "3"], "stepz"),
        (["--data", "x", "--steps", "many"], "steps"),
        ([], "data"),
        (["--config", "missing.yaml", "--data", "x"], "missing.yaml"),
    ],
)
def test_wrong_options_are_one_line_and_exit_status_2(monkeypatch, capsys, arguments, complaint):
    with pytest.raises(SystemExit) as exit_:
        call(monkeypatch, *arguments)
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert complaint in error


def test_an_unknown_key_in_the_config_file_is_an_error(monkeypatch, capsys, tmp_path):
    (tmp_path / "c.yaml").write_text("data: here\nstepz: 5\n")
    with pytest.raises(SystemExit) as exit_:
        call(monkeypatch, "--config", str(tmp_path / "c.yaml"))
    assert exit_.value.code == 2
    assert "stepz" in capsys.readouterr().err


def test_user_errors_are_one_line_and_others_are_not_hidden(monkeypatch, capsys):
    def fails(config):
        raise UserError("the disk is full; buy another")

    monkeypatch.setattr(sys, "argv", ["script.py", "--data", "x"])
    with pytest.raises(SystemExit) as exit_:
        run(fails, Config, "")
    assert (exit_.value.code, capsys.readouterr().err) == (2, "error: the disk is full; buy another\n")
    with pytest.raises(ZeroDivisionError):
        run(lambda config: 1 / 0, Config, "")


def test_subcommands(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        sys, "argv", ["gz2", "build", "--data_dir", str(tmp_path / "none"), "--output", str(tmp_path / "o")]
    )
    with pytest.raises(SystemExit) as exit_:
        run_functions({"build": build}, "")
    assert exit_.value.code == 2
    assert "no such folder" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_provenance_is_json_with_config_and_versions():
    saved = json.loads(json.dumps(provenance(Config(Path("here")))))
    assert saved["config"] == {"data": "here", "steps": 3}
    assert saved["versions"]["torch"]


CLASSES = ("spiral", "cigar")


def test_counts_are_given_by_class_or_for_all():
    assert parse_counts("smote", "cigar=442, spiral=2", CLASSES) == {"cigar": 442, "spiral": 2}
    assert parse_counts("num_images", "8", CLASSES) == {"spiral": 8, "cigar": 8}


@pytest.mark.parametrize(
    ("text", "message"),
    [("merger=3", "no class 'merger'"), ("cigar", "'cigar' is not a number"), ("cigar=-1", "'-1' is not a number")],
)
def test_what_is_no_count_is_one_clear_line(text, message):
    with pytest.raises(UserError, match=f"smote '{text}': {message}"):
        parse_counts("smote", text, CLASSES)


def test_a_preset_that_is_a_bomb_is_one_line(tmp_path, monkeypatch, capsys):
    """A kilobyte of aliases that stand for 10^11 entries."""
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    (tmp_path / "bomb.yaml").write_text(bomb)
    for arguments in (["--config", str(tmp_path / "bomb.yaml")], [f"--config={tmp_path / 'bomb.yaml'}"]):
        monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            run(lambda config: None, Config, "")
        assert ended.value.code == 2
        assert "bomb.yaml: cannot be read" in capsys.readouterr().err
