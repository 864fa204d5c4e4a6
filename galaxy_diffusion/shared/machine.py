"""Threads on a CPU: accelerate launch leaves a process one, whatever the machine has."""

import os

import torch


def use_all_cores() -> None:
    """Divide the cores that this job may use among its processes, unless OMP_NUM_THREADS asks for more than one.

    ``accelerate launch`` sets OMP_NUM_THREADS to 1 where nobody has set it, so a 1 says nothing; to keep cores free
    for others, start with ``taskset``.
    """
    if int(os.environ.get("OMP_NUM_THREADS", "1")) <= 1:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
