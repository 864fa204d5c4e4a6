"""benchmarks/long_runs.py and what it watches with: a leak is found, a kill leaves nothing that runs."""

import subprocess
import sys

import pandas as pd
import psutil
import pytest

from benchmarks import long_runs
from benchmarks.watching import Look, kill

START = [Look(0, 0.1, 3, 0.0), Look(0, 0.9, 8, 2.0)]
SAVING = [Look(100, 1.4, 12, 9.0)]


def seen(memory_of_a_step: float, files_of_a_step: float) -> list[Look]:
    """A run of 100 steps that starts, works and saves a model."""
    steps = (Look(i, 1 + memory_of_a_step * i, int(7 + files_of_a_step * i), i / 10) for i in range(10, 100))
    return [*START, *steps, *SAVING]


def test_a_start_and_an_end_that_take_memory_are_no_growth(tmp_path, monkeypatch):
    monkeypatch.setattr(long_runs, "watch", lambda *_: seen(0, 0))
    long_runs.main(long_runs.Config(tmp_path / "out"))
    assert len(pd.read_csv(tmp_path / "out/looks.csv")) == 2 * len(seen(0, 0))
    assert (tmp_path / "out/long_runs.png").stat().st_size > 0


@pytest.mark.parametrize("leak", [(0.001, 0), (0, 0.1)], ids=["memory", "files"])
def test_what_grows_in_the_last_half_ends_with_status_1(leak, tmp_path, monkeypatch):
    monkeypatch.setattr(long_runs, "watch", lambda command, _: seen(*leak if command[0].stem == "generate" else (0, 0)))
    with pytest.raises(SystemExit, match=r"^generate\.py: more than 10 MB or 1 files added") as ended:
        long_runs.main(long_runs.Config(tmp_path / "out"))
    assert isinstance(ended.value.code, str)  # which Python prints, with status 1


def test_a_kill_takes_with_it_what_the_command_has_started():
    starts = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    command = subprocess.Popen([sys.executable, "-c", starts], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    command.stdout.read(1)  # the process that it has started runs
    [started] = psutil.Process(command.pid).children()
    kill(command.pid)
    command.wait()
    assert psutil.wait_procs([started], timeout=30)[1] == []
