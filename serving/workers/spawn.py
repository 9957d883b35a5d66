"""Starting a worker: the first thing a server does, so that both load at once.

So this module imports nothing slow: `subprocess` alone would cost a cold start 20 ms.
"""

from __future__ import annotations

import os
import socket
import sys

from serving.environment import safe_environment

_WORKER = "import gc; gc.disable(); from serving.workers.worker import main; raise SystemExit(main({}))"
"""`-m` would import `runpy` first, and garbage collection during imports finds nothing."""


class WorkerProcess:
    """A worker process and our end of its socket pair."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        """Use `spawn`."""
        self.pid, self.socket, self._ended = pid, connection, False

    def ended(self) -> bool:
        """Whether the process has ended; reaps it."""
        if not self._ended:
            self._ended = os.waitpid(self.pid, os.WNOHANG)[0] != 0
        return self._ended

    def kill(self) -> None:
        """Kill it now."""
        if not self.ended():
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
            self._ended = True


def spawn() -> WorkerProcess:
    """Start a worker, which imports its modules and waits for the message that says what to load."""
    ours, theirs = socket.socketpair()
    with theirs:
        number = theirs.fileno()
        os.set_inheritable(number, True)
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        command = [sys.executable, "-P", "-c", _WORKER.format(number)]
        return WorkerProcess(os.posix_spawn(sys.executable, command, safe_environment(), file_actions=actions), ours)
