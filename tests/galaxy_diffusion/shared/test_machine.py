"""Threads on a CPU: what accelerate launch takes away is given back, and what a user asks for stays."""

import pytest
import torch

from galaxy_diffusion.shared.machine import use_all_cores


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
