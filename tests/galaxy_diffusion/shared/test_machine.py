"""Threads on a CPU: what accelerate launch takes away is given back, and what a user asks for stays; and memory."""

from collections import namedtuple

import numpy as np
import psutil
import pytest
import torch

from galaxy_diffusion.shared.machine import gpu_precision, peak_memory, use_all_cores

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("asked", "processes", "threads"), [("1", "1", 6), ("1", "2", 3), ("1", "9", 1), (None, "1", 6), ("4", "1", 2)]
)
def test_cores_are_divided_among_processes(monkeypatch, asked, processes, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    monkeypatch.setenv("OMP_NUM_THREADS", asked) if asked else monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
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
