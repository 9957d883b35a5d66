"""Workers without a model for the pool's tests: they say how many pictures came together, and end at the sight of poison."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.workers.pool import Bounds, WorkerPool
from serving.workers.spawn import WorkerProcess

ROOT = Path(__file__).resolve().parents[3]
_FRAGILE = """
import socket, sys, time
from serving.workers.messages import Done, Hello, pack_done, pack_hello, read_items, receive
connection = socket.socket(fileno=int(sys.argv[1]))
connection.sendall(pack_hello(Hello("test", (1,))))
while (told := receive(connection)) is not None:
    items = read_items(*told)
    if any(item.data == b"poison" for item in items):
        sys.exit(1)
    if any(item.data == b"endless" for item in items):
        time.sleep(600)
    connection.sendall(pack_done(Done([bytes([len(items)]) * 4 for _ in items], {}, 0.0, 0.0)))
connection.close()
"""


def fragile() -> WorkerProcess:
    """A worker that answers with the size of the batch, and ends at the sight of poison."""
    ours, theirs = socket.socketpair()
    with theirs:
        os.set_inheritable(theirs.fileno(), True)
        command = [sys.executable, "-c", _FRAGILE, str(theirs.fileno())]
        return WorkerProcess(os.posix_spawn(sys.executable, command, os.environ | {"PYTHONPATH": str(ROOT)}), ours)


def with_pool(bounds: Bounds, use: Callable, monkeypatch: pytest.MonkeyPatch, spawn: Callable[[], WorkerProcess] = fragile):
    """What `use` makes of a started pool with such workers."""

    async def run():
        pool = WorkerPool(Path(), bounds)
        await pool.start()
        try:
            return await use(pool)
        finally:
            await pool.stop()

    monkeypatch.setattr("serving.workers.pool.spawn", spawn)
    monkeypatch.setattr("serving.workers.pool.pack_load", lambda *_: b"")
    monkeypatch.setattr("serving.workers.pool._PAUSE_S", 0.05)
    return asyncio.run(run())


async def seen(what: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 it is another task's doing, which tells nobody
            await asyncio.sleep(0.005)


class Counted:
    """Starts fragile workers and remembers them; `failing` says for how many of the next ones there is no room."""

    def __init__(self) -> None:
        self.all, self.failing = list[WorkerProcess](), 0

    def __call__(self) -> WorkerProcess:
        if self.failing:
            self.failing -= 1
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        self.all.append(fragile())
        return self.all[-1]

    def kill(self) -> None:
        """All that were started so far."""
        for worker in self.all:
            if not worker.ended():
                os.kill(worker.pid, signal.SIGKILL)
