"""Starting a worker. Imported before anything else by a server that starts: the worker loads while the server imports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Spawned:
    """A worker process and our end of its wire."""

    process: subprocess.Popen[bytes]
    wire: socket.socket


def spawn(folder: Path, threads: int, device: str) -> Spawned:
    """Start a worker for a bundle; `threads` are ONNX Runtime's."""
    ours, theirs = socket.socketpair()
    words = [str(theirs.fileno()), str(folder), str(threads), device]
    command = [sys.executable, "-P", "-m", "serving.worker", *words]
    with theirs:
        return Spawned(subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL), ours)


def cores() -> int:
    """Cores that this process may use: its affinity, and its container's share."""
    own = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return own if quota == "max" else max(1, min(own, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return own
