"""`modelyard` as a process of its own, without waiting for its imports: forked from one that has done the heavy ones.

Importing Great Expectations takes 4 seconds of a core, MLflow 2, and most commands work for less. `WarmCommands` starts
this file once a session; it listens at a socket, and forks for each command line that it is sent with the folder,
the environment and the outputs of its process. A forked process has its own memory, folder, environment, outputs and
exit code. What a command imports for itself is tested where a fresh interpreter starts: `tests/architecture`, the wheel's
and the README's tests.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

_MESSAGE = 1 << 20
COMMAND = "pipelines.cli.main"


class WarmCommands:
    """The process that forks, until `close`."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "commands")
        command = [sys.executable, "-P", __file__, self.address]
        # it reads nothing, but sees by its input that whoever started it has ended
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout
        assert self.process.stdout.readline() == b"ready\n"

    def run(
        self,
        arguments: Sequence[str],
        cwd: Path,
        timeout: float | None = None,
        module: str = COMMAND,
        environment: Mapping[str, str] = os.environ,
    ) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` gives for `python -m MODULE` with these arguments."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(timeout)
                line.connect(self.address)
                order = {"module": module, "arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment)}
                socket.send_fds(line, [json.dumps(order).encode()], [out.fileno(), err.fileno()])
                line.shutdown(socket.SHUT_WR)
                pid, code = int(line.recv(16)), None
                try:
                    code = int(line.recv(16))
                except BaseException as error:
                    os.kill(pid, signal.SIGKILL)
                    if isinstance(error, TimeoutError):
                        raise subprocess.TimeoutExpired(list(arguments), timeout or 0) from error
                    raise
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
        return subprocess.CompletedProcess(list(arguments), code, *texts)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def serve(address: str) -> str:
    """Import what is heavy, then fork for each command line; returns in a forked process the module that it is to run."""
    import great_expectations  # noqa: F401
    import mlflow  # noqa: F401
    import sklearn.cluster  # noqa: F401

    import pipelines.cli.app  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # what is imported is left alone by the forked processes' collector, which would copy every page of it
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        if sys.stdin.fileno() in select.select([listener, sys.stdin], [], [])[0]:
            sys.exit()
        line, _ = listener.accept()
        if not os.fork():
            listener.close()
            return _answer(line)
        line.close()


def _answer(line: socket.socket) -> str:
    """In a process between the two, which says the number of the command's process and its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    parts, outputs = list[bytes](), list[int]()
    while True:
        part, handles, _, _ = socket.recv_fds(line, _MESSAGE, 2)
        outputs += handles
        if not part:
            break
        parts.append(part)
    order = json.loads(b"".join(parts))
    if pid := os.fork():
        line.sendall(f"{pid:<16}".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        line.sendall(f"{code:<16}".encode())
        os._exit(0)
    line.close()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, handle in zip((0, 1, 2), (nothing, *outputs), strict=True):
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.path.insert(0, order["cwd"])  # as `python -m` does
    sys.argv = [order["module"], *order["arguments"]]
    return order["module"]


def run(module: str) -> None:
    """Run a module as a program, and end this process as the interpreter would, but for taking all modules apart.

    With those that are imported here that takes 1.7 seconds, of copied pages.
    """
    code: object = None
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except Exception:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int | None):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()  # waits for those that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    run(serve(sys.argv[1]))
