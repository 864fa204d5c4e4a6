"""Threads on a CPU: what accelerate launch takes away is given back, and what a user asks for stays; and memory."""

from collections import namedtuple

import numpy as np
import psutil
import pytest
import torch

from galaxy_diffusion.shared.machine import gpu_precision, peak_memory, use_all_cores
from gz2_dataset.interruption import STARTED_BY

CPU = torch.device("cpu")
TOLD = 5
"""Threads that torch has taken from OMP_NUM_THREADS, here."""


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


LAUNCHED, STUDY = {"ACCELERATE_MIXED_PRECISION": "no"}, {STARTED_BY: "1"}


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({}, 6),
        ({"OMP_NUM_THREADS": "1"}, TOLD),
        ({"OMP_NUM_THREADS": "4"}, TOLD),
        ({**LAUNCHED, "OMP_NUM_THREADS": "1"}, 6),
        ({**LAUNCHED, "OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}, 3),
        ({**LAUNCHED, "OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "9"}, 1),
        ({**LAUNCHED, "OMP_NUM_THREADS": "4"}, TOLD),
        ({**STUDY, "OMP_NUM_THREADS": "1"}, 1),
        ({**LAUNCHED, **STUDY, "OMP_NUM_THREADS": "1"}, 1),
        ({**LAUNCHED, **STUDY, "OMP_NUM_THREADS": "4", "LOCAL_WORLD_SIZE": "2"}, 2),
        (STUDY, 6),
    ],
)
def test_cores_are_divided_among_processes(monkeypatch, environment, threads):
    """Fourteen trainings of a study on 16 cores once took 16 threads each, and none came to its end."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for name in ("LOCAL_WORLD_SIZE", "OMP_NUM_THREADS", *LAUNCHED, *STUDY):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    torch.set_num_threads(TOLD)
    use_all_cores()
    assert torch.get_num_threads() == threads


def test_the_peak_is_in_bytes_and_remembers_what_was_held():
    used = psutil.Process().memory_info().rss
    held = np.ones(2**28, np.uint8)
    size = held.nbytes
    del held
    assert used + 0.9 * size < peak_memory(CPU) < psutil.virtual_memory().total


def test_memory_is_in_bytes_where_there_is_no_proc(monkeypatch, tmp_path):
    """MacOS reports the memory in use, Windows the peak; neither has Python's resource module as Linux does."""
    monkeypatch.setattr("galaxy_diffusion.shared.machine.STATUS", tmp_path / "absent")
    assert peak_memory(CPU) == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)
    windows = namedtuple("pmem", ["rss", "peak_wset"])(1000, 3000)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda self: windows)
    assert peak_memory(CPU) == 3000


@pytest.mark.parametrize(
    ("has_gpu", "has_bf16", "precision"), [(False, True, "no"), (True, True, "bf16"), (True, False, "fp16")]
)
def test_the_precision_is_one_in_which_the_gpu_is_fast(has_gpu, has_bf16, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert gpu_precision() == precision
