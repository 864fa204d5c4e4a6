"""How a command ends when it is told to: by Ctrl-C, by a cluster's SIGTERM, or by the end of what has started it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STARTED_BY = "GALAXY_DIFFUSION_STARTED_BY"
"""Environment variable with the id of the process, such as a study, without which a command should not run on."""


class Interrupted(KeyboardInterrupt):
    """A command was told to end.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def heed_signals() -> None:
    """From here on a signal, or the end of what has started this process, raises `Interrupted`.

    Also where SIGINT was ignored, as it is in what a shell script starts in the background.
    """

    def interrupt(number: int, _: object) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # what is half-written is removed in peace
        raise Interrupted(number)

    for each in SIGNALS:
        signal.signal(each, interrupt)
    for process in starters():
        threading.Thread(target=end_with, args=(process,), daemon=True).start()


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Within the block, the numbers of signals are added to the list that it yields, and interrupt nothing."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python gives signals to the main thread alone
        yield noted
        return
    before = {each: signal.signal(each, lambda number, _: noted.append(number)) for each in SIGNALS}
    try:
        yield noted
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def starters() -> list[psutil.Process]:
    """The processes without which this one should not run on: a launcher, which passes on no signals, and a study."""
    parent, ids = psutil.Process().parent(), []
    if parent and is_launcher(parent.cmdline()):
        ids.append(parent.pid)
    if STARTED_BY in os.environ:
        ids.append(int(os.environ[STARTED_BY]))
    return [psutil.Process(number) for number in ids if psutil.pid_exists(number)]


def is_launcher(command: list[str]) -> bool:
    """Whether a command starts the processes of a training.

    Examples
    --------
    >>> is_launcher(["python", "-m", "galaxy_diffusion.launch", "train_ddpm.py"])
    True
    >>> is_launcher(["bash"])
    False
    """
    modules = ("accelerate.commands.", "galaxy_diffusion.launch", "torch.distributed.")
    return any(Path(word).name in ("accelerate", "torchrun") or word.startswith(modules) for word in command)


def end_with(process: psutil.Process) -> None:
    """Wait for another process to end, then tell this one to."""
    process.wait()
    os.kill(os.getpid(), signal.SIGTERM)
