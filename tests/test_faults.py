"""What goes wrong by itself while a command runs: signals, full disks, two runs at once; see docs/reliability.md."""

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from safetensors import SafetensorError

import generate
import train_autoregressive
import train_classifier
import train_ddpm
import train_sagan
import train_vae
from galaxy_diffusion.classifiers.trainer import checkpoints as classifier_checkpoints
from galaxy_diffusion.generators import training_run
from galaxy_diffusion.shared.checkpoint import checkpoints
from gz2_dataset import UserError
from gz2_dataset.aside import write_whole, written_aside
from gz2_dataset.command_line import call, run
from gz2_dataset.folder_lock import only_writer
from gz2_dataset.interruption import STARTED_BY, Interrupted, heed_signals, noted_signals

from .conftest import ROOT, TWO_PROCESSES, environment_of_two, launch_two_processes

GENERATORS = {"ddpm": train_ddpm, "sagan": train_sagan, "vae": train_vae, "autoregressive": train_autoregressive}


def tiny(name: str, data: Path, output: Path, **changes):
    preset = yaml.safe_load((ROOT / f"configs/{name}_tiny.yaml").read_text()) | {"sample_images": 0}
    return GENERATORS[name].Config(data=str(data), output_dir=output, **{**preset, **changes})


@pytest.fixture
def own_handlers():
    """Whatever a test does to the handlers of signals is undone."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_signal_lets_a_generators_training_finish_its_step_and_write_a_checkpoint(
    name, toy_data, tmp_path, monkeypatch
):
    count = training_run.TrainingRun.count

    def told(self, *events):
        if self.images_seen == self.config.batch_size:  # in the second step
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)  # a launcher may pass on what the terminal has sent already
        return count(self, *events)

    monkeypatch.setattr(training_run.TrainingRun, "count", told)
    config = tiny(name, toy_data, tmp_path, checkpoint_images=1_000_000)
    with pytest.raises(Interrupted) as interrupted:
        GENERATORS[name].main(config)
    assert interrupted.value.number == signal.SIGTERM
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == [f"images-{2 * config.batch_size:012d}"]


def test_a_signal_lets_a_classifier_finish_its_step_and_write_a_checkpoint(toy_data, tmp_path, monkeypatch):
    preset = yaml.safe_load((ROOT / "configs/classifier_tiny.yaml").read_text())
    config = train_classifier.Config(
        data=str(toy_data), output_dir=tmp_path, **{**preset, "total_images": 64, "checkpoint_images": 1_000_000}
    )
    step = train_classifier.Progress.on_step_end

    def told(self, args, state, control, **kwargs):
        step(self, args, state, control, **kwargs)
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as context:
        context.setattr(train_classifier.Progress, "on_step_end", told)
        with pytest.raises(Interrupted):
            train_classifier.main(config)
    assert [path.name for path in classifier_checkpoints(tmp_path)] == ["checkpoint-2"]
    train_classifier.main(config)
    assert json.loads((tmp_path / "metrics.json").read_text())["steps"] == 4


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_with_the_usual_status(number, status):
    """Without Python's last search for garbage, but with all that was to be done at the end."""
    code = f"""
import atexit, os, signal
from gz2_dataset.command_line import call
class Held:
    def __del__(self):
        print("searched")
held = Held()
held.itself = held
atexit.register(print, "tidied up")
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell script leaves it to what it starts in the background
call(lambda: os.kill(os.getpid(), {number:d}))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (status, "tidied up\n")
    assert f"interrupted by {number.name}; the same command continues" in ended.stderr


def test_noted_signals_interrupt_nothing_until_their_block_ends(own_handlers):
    heed_signals()
    with noted_signals() as noted:
        os.kill(os.getpid(), signal.SIGTERM)
        assert noted == [signal.SIGTERM]
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_a_command_ends_with_the_study_that_has_started_it():
    """Killed with SIGKILL, of which a study can tell nobody."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from gz2_dataset.command_line import call; "
    code += "call(lambda: (print('runs', flush=True), sys.stdin.read()))"
    study = subprocess.Popen(["sleep", "600"])
    command = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, STARTED_BY: str(study.pid)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdout.readline() == "runs\n"
    study.kill()
    study.wait()
    assert command.wait(timeout=60) == 143


@dataclass
class Writes:
    """A command that writes."""

    output_dir: Path
    """Where to."""


def test_a_folder_has_one_writer(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["write", "--output_dir", str(folder)])
    with only_writer(folder):
        with pytest.raises(SystemExit):
            run(lambda config: pytest.fail("it writes"), Writes, "")
        assert f"{folder}: another command is writing there" in capsys.readouterr().err
    run(lambda config: (folder / "result").touch(), Writes, "")
    assert [path.name for path in folder.iterdir()] == ["result"]


@pytest.mark.parametrize("below", [".", "run"])
def test_a_file_where_a_folder_is_wanted_is_one_line(below, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("irreplaceable")
    monkeypatch.setattr(sys, "argv", ["write", "--output_dir", str(tmp_path / "file" / below)])
    with pytest.raises(SystemExit) as ended:
        run(lambda config: pytest.fail("it writes"), Writes, "")
    assert ended.value.code == 2
    assert "a file stands where a folder is wanted" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "irreplaceable"


def test_a_lock_that_a_killed_command_has_left_locks_nothing(tmp_path):
    (tmp_path / ".lock").touch()
    with only_writer(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_command_has_left_half_written_goes_when_a_command_writes_there_again(tmp_path):
    kept = tmp_path / "spiral/00000001.jpg"
    write_whole(kept, b"whole")
    (tmp_path / ".hidden-by-the-user").touch()
    killed = written_aside(tmp_path / "spiral/00000002.jpg"), written_aside(tmp_path / "grid.png")
    for file in killed:
        file.__enter__().write_bytes(b"half")
    with only_writer(tmp_path):
        assert {path.name for path in tmp_path.rglob("*.*")} == {kept.name, ".hidden-by-the-user", ".lock"}


def test_what_another_command_is_writing_in_a_folder_below_is_left_alone(tmp_path):
    image = tmp_path / "generated/spiral/00000001.jpg"
    with only_writer(tmp_path / "generated"), written_aside(image) as half:
        half.write_bytes(b"by now whole")
        with only_writer(tmp_path):
            pass
    assert image.read_bytes() == b"by now whole"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "run/x.jpg"),
            "run/x.jpg: No space left on device; free space",
        ),
        (OSError(errno.EROFS, "Read-only file system", "run"), "run: Read-only file system; give a folder that can be"),
        (SafetensorError("Error: I/O error: No space left on device (os error 28)"), "No space left on device; free"),
        (
            RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 302272 vs 302160"),
            "No space left on",
        ),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] can't allocate memory"), "the memory is not enough; give"),
        (MemoryError(), "the memory is not enough; give a smaller batch_size"),
    ],
    ids=["full", "read-only", "full, in Rust", "full, in C++", "memory of torch", "memory"],
)
def test_a_machine_that_is_short_of_something_is_one_line(error, said, own_handlers, capsys):
    def short():
        try:
            raise error
        except Exception as cause:
            raise ValueError("while generating") from cause

    with pytest.raises(SystemExit) as ended:
        call(short)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")


def test_other_errors_keep_their_traceback(own_handlers):
    with pytest.raises(ZeroDivisionError):
        call(lambda: 1 / 0)


def test_a_model_that_draws_what_is_not_a_number_is_refused(tiny_model, tmp_path, monkeypatch):
    load = generate.load_pipeline

    def spoiled(*arguments):
        pipeline = load(*arguments)
        next(pipeline.unet.parameters()).data.fill_(float("nan"))
        return pipeline

    monkeypatch.setattr(generate, "load_pipeline", spoiled)
    options = {"num_images": "spiral=1", "scheduler": "ddim", "num_inference_steps": 2}
    with torch.inference_mode(), pytest.raises(UserError, match="pixels that are not numbers"):
        generate.main(generate.Config(model=str(tiny_model), output_dir=tmp_path, **options))
    assert not list(tmp_path.rglob("*.jpg"))


@pytest.mark.two_processes
def test_tests_of_two_processes_start_two(tmp_path):
    script = tmp_path / "count.py"
    script.write_text(
        "from pathlib import Path; from accelerate import Accelerator; a = Accelerator(); "
        "Path(__file__).with_name(f'{a.process_index} of {a.num_processes}').touch()"
    )
    launch_two_processes(script)
    assert {path.name for path in tmp_path.iterdir()} == {"count.py", "0 of 2", "1 of 2"}


@pytest.mark.two_processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_one_of_two_processes_that_is_told_to_end_or_dies_ends_the_other(number, toy_data, tmp_path):
    """SIGTERM: with a checkpoint that both have agreed on."""
    preset = ["--config", "configs/ddpm_tiny.yaml", "--data", toy_data, "--output_dir", tmp_path / "run"]
    endless = ["--total_images", 10**9, "--checkpoint_images", 10**9, "--sample_images", 0]
    command = [sys.executable, *TWO_PROCESSES, "train_ddpm.py", *map(str, preset + endless)]
    with subprocess.Popen(command, cwd=ROOT, env=environment_of_two(), stderr=subprocess.PIPE, text=True) as launcher:
        metrics = tmp_path / "run/metrics.jsonl"
        for _ in launcher.stderr:  # the progress bar
            if metrics.exists() and metrics.read_text():
                break
        processes = [
            process for process in psutil.Process(launcher.pid).children() if "train_ddpm.py" in process.cmdline()
        ]
        assert len(processes) == 2
        processes[1].send_signal(number)
        launcher.stderr.read()
        assert launcher.wait(timeout=60) != 0
    assert not any(process.is_running() for process in processes)
    assert len(checkpoints(tmp_path / "run/checkpoints")) == (number == signal.SIGTERM)


def test_a_classifiers_newest_checkpoints_stay_whatever_the_clock_says(toy_data, tmp_path, monkeypatch):
    """Transformers itself goes by the time of the files."""
    preset = yaml.safe_load((ROOT / "configs/classifier_tiny.yaml").read_text())
    changes = {"total_images": 128, "checkpoint_images": 16, "validation_images": 0}
    config = train_classifier.Config(data=str(toy_data), output_dir=tmp_path, **{**preset, **changes})
    save, found = train_classifier.Checkpoints.on_save, []

    def saved(self, args, state, control, **kwargs):
        save(self, args, state, control, **kwargs)
        os.utime(tmp_path / f"checkpoint-{state.global_step}", times=(1e9 - state.global_step,) * 2)
        found.append([path.name for path in classifier_checkpoints(tmp_path)])

    monkeypatch.setattr(train_classifier.Checkpoints, "on_save", saved)
    train_classifier.main(config)
    assert found[0] == ["checkpoint-1"]
    assert found[1:] == [[f"checkpoint-{step - 1}", f"checkpoint-{step}"] for step in range(2, 9)]


def test_a_classifiers_checkpoint_that_cannot_be_written_leaves_nothing(toy_data, tmp_path, monkeypatch):
    preset = yaml.safe_load((ROOT / "configs/classifier_tiny.yaml").read_text())
    changes = {"total_images": 64, "checkpoint_images": 16, "validation_images": 0}
    save = torch.save

    def full(state, file, *args, **kwargs):
        save(state, file, *args, **kwargs)
        if "checkpoint-2" in str(file):
            raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 302272 vs 302160")

    monkeypatch.setattr(torch, "save", full)
    config = train_classifier.Config(data=str(toy_data), output_dir=tmp_path, **{**preset, **changes})
    with pytest.raises(RuntimeError, match="unexpected pos"):
        train_classifier.main(config)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-1"]
