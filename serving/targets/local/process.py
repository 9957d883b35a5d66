"""An endpoint's processes on this machine: started, found by their command line, and ended.

A process says by its command line whose it is: `--canary` names the split order of one endpoint in one folder. So a process
is found however its starter died, and whatever became of its record.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from registry.errors import ModelyardError
from registry.files import set_aside
from serving.bundle.bundle import open_bundle
from serving.bundle.seal import BundleIndex
from serving.environment import server_environment
from serving.targets.contract import LiveEndpoint

HOST = "127.0.0.1"
_MODULE = "serving.start"
_BIRTH_S = 1.0
_TAIL = 4_000_000
"""Bytes at the end of a log that are read."""


class EndpointProcess(NamedTuple):
    """A running process, the endpoint that it was started for, and what it was told to serve."""

    process: psutil.Process
    order: Path
    bundle: Path
    port: int


def spawn(bundle: Path, order: Path, workers: int, port: int, log: Path) -> int:
    """Start a process in a session of its own that outlives us; return its number.

    The log is a new file: one that lies there, or a symbolic link, is moved aside and never written through.
    """
    command = [sys.executable, "-P", "-m", _MODULE, "--bundle", str(bundle), "--workers", str(workers)]
    command += ["--canary", str(order), "--port", str(port)]
    output = _new_file(log)
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ]
        return os.posix_spawn(command[0], command, server_environment(), file_actions=actions, setsid=True)
    finally:
        os.close(output)


def last_lines(log: Path) -> list[str]:
    """The lines at the end of a log, however long it is; none where there is no such file."""
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return file.read(_TAIL).decode(errors="replace").strip("\0\n ").splitlines()


def _new_file(path: Path) -> int:
    """An open file that did not exist before. The process before may still write to the old one, under its other name."""
    before = path.with_name(f"{path.stem}.before{path.suffix}")
    for taken in (path, before):
        if taken.is_dir() and not taken.is_symlink():
            set_aside(taken, "unusable")
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        path.replace(before)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


def processes_in(folder: Path) -> list[EndpointProcess]:
    """The running endpoints whose split orders lie in a folder."""
    wanted, running = os.path.realpath(folder), list[EndpointProcess]()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ValueError, IndexError):
            words = process.cmdline()
            if _MODULE not in words or process.status() == psutil.STATUS_ZOMBIE:
                continue
            order, bundle, port = (words[words.index(option) + 1] for option in ("--canary", "--bundle", "--port"))
            if os.path.realpath(Path(order).parent) == wanted:
                running.append(EndpointProcess(process, Path(order), Path(bundle), int(port)))
    return running


def process_of(live: LiveEndpoint) -> psutil.Process | None:
    """The endpoint's process, if it is still the same: process ids are reused."""
    try:
        process = psutil.Process(int(live.handle))
        words = _words(process)
        ours = _MODULE in words and words[-1] == live.url.rpartition(":")[2]
        if process.status() == psutil.STATUS_ZOMBIE or not ours:
            return None
    except (psutil.Error, ValueError):
        return None
    return process


def _words(process: psutil.Process) -> list[str]:
    """Its command line. One that was started just now has none yet: the kernel sets it after its starter goes on."""
    deadline = time.monotonic() + _BIRTH_S
    while not (words := process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.001)
    return words


def as_endpoint(name: str, running: EndpointProcess) -> LiveEndpoint | None:
    """The endpoint that a process is, by its command line and its bundle; None where the bundle is gone or changed."""
    try:
        index = open_bundle(running.bundle).index
    except (ModelyardError, OSError, ValueError):
        return None
    return endpoint_of(name, index, running.bundle, running.port, running.process.pid)


def endpoint_of(name: str, index: BundleIndex, bundle: Path, port: int, pid: int) -> LiveEndpoint:
    """The endpoint that a process is: `index` is that of the bundle's folder."""
    return LiveEndpoint(
        name=name,
        model=index.model,
        version=index.version,
        bundle=index.digest,
        url=f"http://{HOST}:{port}",
        handle=str(pid),
        source=str(bundle),
    )


def end_all(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Tell processes to end, all at once; kill those that have not after the seconds. A zombie counts as ended."""
    waiting = list(processes)
    for tell in (psutil.Process.terminate, psutil.Process.kill):
        for process in waiting:
            with contextlib.suppress(psutil.Error):
                tell(process)
        deadline = time.monotonic() + seconds
        while waiting := [process for process in waiting if _runs(process)]:
            if time.monotonic() >= deadline:
                break
            time.sleep(0.02)


def _runs(process: psutil.Process) -> bool:
    try:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return True
    except psutil.Error:
        pass
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)  # where we started it: it leaves the process table
    return False


def any_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a port can be listened at now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
