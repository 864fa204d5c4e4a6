"""What the machine has: memory, and cores, of which accelerate launch leaves each process only one."""

import os
import re
from pathlib import Path

import psutil
import torch

from gz2_dataset.interruption import STARTED_BY

STATUS = Path("/proc/self/status")
"""Where Linux reports the peak memory of a process."""


def cores() -> int:
    """How many cores this job may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_all_cores() -> None:
    """Divide the cores that this job may use among its processes, unless OMP_NUM_THREADS says how many each takes.

    ``accelerate launch`` sets OMP_NUM_THREADS to 1 where nobody has set it, so there a 1 means nothing. In a study,
    which runs trainings side by side, it is the number of cores that each of them may use.
    """
    told = int(os.environ.get("OMP_NUM_THREADS", "0"))
    in_study, launched = STARTED_BY in os.environ, "ACCELERATE_MIXED_PRECISION" in os.environ
    if in_study or not told or (told == 1 and launched):
        mine = told if in_study and told else cores()
        torch.set_num_threads(max(1, mine // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def gpu_precision() -> str:
    """The mixed precision in which this machine's GPU is fast: bf16, or fp16 on older ones, such as a T4; else no."""
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def free_memory(device: torch.device) -> int:
    """Free memory of a device in bytes."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def peak_memory(device: torch.device) -> int:
    """The most memory in bytes that this process has used: of the GPU, or of the machine.

    On macOS, where psutil cannot see the peak, it is the memory in use now.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if STATUS.exists() and (peak := re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text(encoding="utf-8"))):
        return 1024 * int(peak[1])
    memory = psutil.Process().memory_info()
    return getattr(memory, "peak_wset", memory.rss)  # only Windows has peak_wset
