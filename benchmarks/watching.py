"""A command that is watched while it runs: how far it is, what memory it holds and how many files it has open."""

import contextlib
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from PIL import Image

from gz2_dataset import UserError

SECONDS_BETWEEN_LOOKS = 1.0


class Look(NamedTuple):
    """What is seen of a process at one moment.

    Attributes
    ----------
    done : int
        Steps, images or jobs.
    memory : float
        Resident, in GB.
    files : int
        Open file handles.
    seconds : float
        Of processor time, without what it has started.
    """

    done: int
    memory: float
    files: int
    seconds: float


def watch(command: Sequence[object], done: Callable[[], int], killed_at: float = math.inf) -> list[Look]:
    """Run a command and look at it every second.

    Parameters
    ----------
    command : sequence
        What Python is to run, and the arguments.
    done : callable
        Tells how far the command is; what is removed at its end still counts.
    killed_at : float
        The command is killed, with all that it has started, when it has done so much.
    """
    quiet, looks = subprocess.DEVNULL, []
    process = subprocess.Popen([sys.executable, *map(str, command)], stdout=quiet, stderr=quiet)
    watched = psutil.Process(process.pid)
    most = 0
    while process.poll() is None:
        most = max(most, done())
        try:
            seconds = sum(watched.cpu_times()[:2])
            looks.append(Look(most, watched.memory_info().rss / 1e9, open_files(watched), seconds))
        except psutil.NoSuchProcess:
            break
        if most >= killed_at:
            kill(process.pid)
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if process.wait() and killed_at == math.inf:
        raise UserError(f"{' '.join(map(str, command))}: ended with status {process.returncode}; run it to see why")
    return [look for look in looks if look.memory]  # a process that has just ended has none


def kill(number: int) -> None:
    """End a process and all that it has started at once, as a machine that loses its power does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        command = psutil.Process(number)
        for process in (command, *command.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def open_files(process: psutil.Process) -> int:
    """Open file handles of a process, sockets and pipes among them."""
    return process.num_fds() if hasattr(process, "num_fds") else process.num_handles()


def growth(looks: Sequence[Look]) -> tuple[float, float]:
    """How much memory and how many files are added over the last half of a run, by a line fitted to its looks.

    Parameters
    ----------
    looks : sequence of Look
        The last one tells the length of the run; what is seen when all is done, as a model is saved, does not count.

    Returns
    -------
    tuple of float
        GB and files.

    Examples
    --------
    >>> memory, files = growth([Look(0, 0.1, 3, 0.0), *(Look(i, 1 + i / 1000, 7, 0.0) for i in range(50, 101))])
    >>> round(memory, 3), round(files)
    (0.05, 0)
    """
    half = np.array(last_half(looks))
    memory, files = np.polyfit(half[:, 0], half[:, 1:3], 1)[0] * looks[-1].done / 2
    return float(memory), float(files)


def last_half(looks: Sequence[Look]) -> list[Look]:
    """What was seen while the last half was done, without what was seen when all was done."""
    return [look for look in looks if looks[-1].done / 2 <= look.done < looks[-1].done]


def blurred_noise(path: Path, seed: int) -> None:
    """Draw a picture of 64 px that is like no other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(path, quality=90)
