"""What tests start in the place of python: asks `warm_python` for a fork. It imports next to nothing."""

import json
import os
import signal
import socket
import sys

FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def ask(folder: str, python: str, prefix: tuple[str, ...]) -> None:
    """Have this program's arguments run, pass signals on, and end as the script does."""
    kind, arguments = "", [*prefix, *sys.argv[1:]]
    while arguments and arguments[0].startswith("-") and kind not in ("-m", "-c"):
        kind = arguments.pop(0)
        if kind not in ("-m", "-c", "-u"):  # python's further options take effect when it starts
            os.execv(python, [python, *prefix, *sys.argv[1:]])
    if not arguments:
        os.execv(python, [python, *prefix, *sys.argv[1:]])
    request = {
        "kind": kind,
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "cores": list(os.sched_getaffinity(0)),
        "executable": f"{folder}/python",
    }
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"{folder}/socket")
        socket.send_fds(server, [b" "], [0, 1, 2])
        server.sendall(json.dumps(request).encode() + b"\n")
        for number in FORWARDED:
            signal.signal(number, lambda number, _: server.send(bytes([number])))
        status = int.from_bytes(server.recv(4), "big")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in FORWARDED:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.waitstatus_to_exitcode(status))
