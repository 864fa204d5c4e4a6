"""One core for each worker of pytest-xdist: imported before anything that counts cores and starts that many threads."""

import os

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER and CORES:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.sched_setaffinity(0, {CORES[int(WORKER.removeprefix("gw")) % len(CORES)]})
