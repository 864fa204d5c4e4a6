"""One core for each worker of pytest-xdist: imported before anything that counts cores and starts that many threads."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER and CORES:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.sched_setaffinity(0, {CORES[int(WORKER.removeprefix("gw")) % len(CORES)]})


@contextlib.contextmanager
def all_cores() -> Iterator[None]:
    """For tests that start processes: the cores of all workers, lent to one worker at a time."""
    if not (WORKER and CORES):
        yield
        return
    mine = os.sched_getaffinity(0)
    with FileLock(Path(tempfile.gettempdir()) / f"galaxy-diffusion-{os.environ['PYTEST_XDIST_TESTRUNUID']}.lock"):
        os.sched_setaffinity(0, CORES)
        try:
            yield
        finally:
            os.sched_setaffinity(0, mine)
