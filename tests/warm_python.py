"""A Python that has its libraries loaded, for the scripts that tests start as processes.

Such a script spends ten seconds on the imports of torch, diffusers and transformers, and one on its work. Here a
process that has done these imports once forks for each script, which imports the project's own modules itself. As with
python, a script has arguments, a working directory, an environment, standard streams, signals and an exit status. What
differs: it ends before the libraries are taken down, and PYTHONWARNINGS comes too late. Tests of how a command starts
and ends, as those of the wheel and of the audit, take the real one.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Callable
from pathlib import Path

LIBRARIES = (
    "accelerate.commands.accelerate_cli",
    "astropy.table",
    "astropy.visualization",
    "datasets",
    "diffusers.models.unets.unet_2d",
    "galsim",
    "ipykernel.kernelapp",
    "jsonargparse",
    "matplotlib.figure",
    "scipy.stats",
    "sklearn.metrics",
    "snakemake.cli",
    "statmorph",
    "timm",
    "torch.distributed.run",
    "transformers.models.auto.modeling_auto",
    "transformers.trainer",
)
COMMANDS = {
    "python": (),
    "accelerate": ("-c", "from accelerate.commands.accelerate_cli import main; main()"),
    "galaxy-diffusion": ("-m", "galaxy_diffusion"),
}
SERVERS: list[subprocess.Popen] = []


@functools.cache
def programs() -> Path:
    """A folder with `COMMANDS`, which work until this process ends; python's own folder on other systems than Linux."""
    if not hasattr(os, "pidfd_open"):
        return Path(sys.executable).parent
    folder = Path(tempfile.mkdtemp(prefix="warm-python-"))
    for name, arguments in COMMANDS.items():
        program = folder / name
        program.write_text(
            f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            f"import warm_python_client\nwarm_python_client.ask({str(folder)!r}, {sys.executable!r}, {arguments!r})\n"
        )
        program.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(64)
        inherited, pipe = listener.fileno(), subprocess.PIPE
        command = [sys.executable, __file__, str(inherited)]
        server = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, pass_fds=[inherited])
    server.stdout.read(1)  # ready: who waits for a script does not wait for the libraries
    SERVERS.append(server)
    return folder


def serve(listener: socket.socket) -> None:
    """Fork for each script that is asked for, until the tests, which hold the other end of standard input, end."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # a fork shares the memory of what is not looked at
    os.write(1, b".")
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection = listener.accept()[0]
        if not os.fork():
            listener.close()
            attend(connection)
        connection.close()
    shutil.rmtree(Path(listener.getsockname()).parent)


def attend(connection: socket.socket) -> None:
    """Run a script in a process of its own; pass signals on to it and tell its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    streams = socket.recv_fds(connection, 1, 3)[1]
    with connection.makefile() as lines:
        request = json.loads(lines.readline())
    script = os.fork()
    if not script:
        connection.close()
        become(request, streams)
        os._exit(status_of(lambda: run(request["kind"], *request["arguments"])))
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(script)
    while ended not in (ready := select.select([ended, connection], [], [])[0]):
        if connection in ready:
            os.kill(script, (connection.recv(1) or bytes([signal.SIGKILL]))[0])
    with contextlib.suppress(BrokenPipeError):
        connection.send(os.waitpid(script, 0)[1].to_bytes(4, "big"))
    os._exit(0)


def become(request: dict, streams: list[int]) -> None:
    """Be the Python that was asked for."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=True)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.sched_setaffinity(0, request["cores"])
    sys.executable = request["executable"]
    sys.path[0:1] = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def run(kind: str, first: str, *rest: str) -> None:
    """What python does with its arguments: ``-m`` and a module, ``-c`` and code, or a script."""
    sys.argv = [kind if kind in ("-m", "-c") else first, *rest]
    sys.path.insert(0, {"-m": os.getcwd(), "-c": ""}.get(kind, str(Path(first).resolve().parent)))
    if kind == "-m":
        runpy.run_module(first, run_name="__main__", alter_sys=True)
    elif kind == "-c":
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(first, "<string>", "exec"), vars(main))
    else:
        runpy.run_path(first, run_name="__main__")


def status_of(program: Callable[[], None]) -> int:
    """The exit status of a Python that runs it. Only the memory is not cleared: it is that of the libraries."""
    status = 0
    try:
        program()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status & 0xFF


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
