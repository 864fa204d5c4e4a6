"""Run a command on GPUs that no other command started this way uses: with_gpu.py NUMBER COMMAND...

The command takes the place of this process, and a lock for each of its GPUs lives as long as it does. Where there are
no more GPUs than it wants, as in a job of SLURM, it gets what there is.
"""

import fcntl
import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def visible_gpus() -> list[str]:
    """The names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True).stdout
    return [str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU ")]


def lock(gpu: str, wait: bool = False) -> bool:
    """Take the lock of a GPU for this process and what replaces it; returns whether it was free."""
    folder = Path(tempfile.gettempdir(), f"galaxy-diffusion-gpus-{getpass.getuser()}")
    folder.mkdir(exist_ok=True)
    file = os.open(folder / f"{gpu.replace('/', '_')}.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(file)
        return False
    os.set_inheritable(file, True)
    return True


def main() -> None:
    wanted, command = int(sys.argv[1]), sys.argv[2:]
    gpus = visible_gpus()
    if wanted < len(gpus):
        mine = []
        for gpu in gpus:
            if len(mine) < wanted and lock(gpu):
                mine.append(gpu)
        for gpu in gpus:  # in one order, so that two commands never wait for each other
            if len(mine) < wanted and gpu not in mine and lock(gpu, wait=True):
                mine.append(gpu)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
