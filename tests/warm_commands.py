"""`modelyard` as a process of its own, without waiting for its imports: forked from one that has done the heavy ones.

Importing Great Expectations takes 4 seconds of a core, MLflow 2, and most commands work for less. `WarmCommands` starts
this file once a session; it listens at a socket, and forks for each command line that it is sent with the folder,
the environment and the outputs of its process. A forked process has its own memory, folder, environment, outputs and
exit code. What a command imports for itself is tested where a fresh interpreter starts: `tests/architecture`, the wheel's
and the README's tests.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_MESSAGE = 1 << 20
_FAILED = 1


class WarmCommands:
    """The process that forks, started by the first command and ended by `close`."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "commands")
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, arguments: Sequence[str], cwd: Path, timeout: float | None) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` gives for `python -m pipelines.cli.main` with these arguments."""
        self._start()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(timeout)
                line.connect(self.address)
                order = {"arguments": list(arguments), "cwd": str(cwd), "environment": dict(os.environ)}
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

    def _start(self) -> None:
        if self.process is None:
            command = [sys.executable, "-P", __file__, self.address]
            self.process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE)
            assert self.process.stdout
            assert self.process.stdout.readline() == b"ready\n"

    def close(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def serve(address: str) -> None:
    """Import what is heavy, then fork for each command line; returns in a forked process, which is to run it."""
    import great_expectations  # noqa: F401
    import mlflow  # noqa: F401
    import sklearn.cluster  # noqa: F401

    import pipelines.cli.app  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        line, _ = listener.accept()
        if not os.fork():
            listener.close()
            _answer(line)
            return
        line.close()


def _answer(line: socket.socket) -> None:
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
    for number, handle in zip((1, 2), outputs, strict=True):
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.path.insert(0, order["cwd"])  # as `python -m` does
    sys.argv = ["modelyard", *order["arguments"]]


if __name__ == "__main__":
    serve(sys.argv[1])
    from pipelines.cli.main import main

    main()
