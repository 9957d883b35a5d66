"""The queue before the workers: batches grow under load, pictures that break workers are refused, callers who left are skipped."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import InputError, UnavailableError
from serving.workers.messages import Item
from serving.workers.pool import Bounds, OverloadedError, WorkerPool
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


def test_a_batch_takes_what_waits_and_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(pool: WorkerPool) -> list[int]:
        rows = await pool.answer([Item(b"fine")] * 10)
        return [row[0] for row in rows]

    assert with_pool(Bounds(max_batch=4), use, monkeypatch) == [4] * 4 + [4] * 4 + [2] * 2
    assert with_pool(Bounds(max_batch=1), use, monkeypatch) == [1] * 10


def test_a_batch_waits_for_others_as_long_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(pool: WorkerPool) -> list[int]:
        first = asyncio.create_task(pool.answer([Item(b"early")]))
        await asyncio.sleep(0.05)
        second = await pool.answer([Item(b"late")])
        return [(await first)[0][0], second[0][0]]

    assert with_pool(Bounds(max_batch=4, max_wait_ms=1000), use, monkeypatch) == [2, 2]
    assert with_pool(Bounds(max_batch=4), use, monkeypatch) == [1, 1]


def test_a_picture_that_breaks_two_workers_is_refused_and_its_neighbours_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(pool: WorkerPool) -> tuple[object, ...]:
        asked = (pool.answer([Item(data)]) for data in (b"fine", b"poison", b"fine"))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return (*answers, pool.timings.restarts)

    first, poison, last, restarts = with_pool(Bounds(max_batch=4), use, monkeypatch)
    assert isinstance(first, list)
    assert isinstance(last, list)
    assert isinstance(poison, InputError)
    assert "broke the worker" in str(poison)
    assert restarts == 2


def test_a_picture_is_not_blamed_for_workers_that_ended_before_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Counted()

    async def use(pool: WorkerPool) -> list[bytes]:
        await seen(lambda: pool.alive == 2)
        started.kill()
        time.sleep(0.1)  # noqa: ASYNC251 the loop is not told before the picture is there
        assert pool.alive == 2
        return await pool.answer([Item(b"fine")])

    assert with_pool(Bounds(workers=2), use, monkeypatch, started) == [bytes([1]) * 4]


def test_workers_that_end_while_idle_are_missed_at_once_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Counted()

    async def use(pool: WorkerPool) -> None:
        await seen(lambda: pool.alive == 2)
        started.kill()
        await seen(lambda: not pool.ready, 1)
        await seen(lambda: pool.alive == 2)
        assert pool.timings.restarts == 2
        assert len(started.all) == 4

    with_pool(Bounds(workers=2), use, monkeypatch, started)


def test_a_worker_that_ends_while_its_batch_waits_for_more_loses_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Counted()

    async def use(pool: WorkerPool) -> list[bytes]:
        asked = asyncio.create_task(pool.answer([Item(b"fine")]))
        await asyncio.sleep(0.1)
        started.kill()
        return await asked

    assert with_pool(Bounds(max_wait_ms=1000), use, monkeypatch, started) == [bytes([1]) * 4]
    assert len(started.all) == 2


def test_a_machine_without_room_for_a_worker_gets_one_later(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Counted()

    async def use(pool: WorkerPool) -> list[bytes]:
        started.failing = 3
        started.kill()
        return await pool.answer([Item(b"fine")])

    assert with_pool(Bounds(), use, monkeypatch, started) == [bytes([1]) * 4]
    assert started.failing == 0
    started.failing = 1
    with pytest.raises(UnavailableError, match="cannot be started"):
        with_pool(Bounds(), use, monkeypatch, started)


def test_a_worker_that_hangs_is_replaced_and_the_picture_counts_as_one_that_broke_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.workers.pool._HUNG_S", 0.5)
    monkeypatch.setattr("serving.workers.pool._HUNG_PART", 100)

    async def use(pool: WorkerPool) -> tuple[object, ...]:
        asked = (pool.answer([Item(data)]) for data in (b"fine", b"endless", b"fine"))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return (*answers, pool.timings.restarts)

    first, endless, last, restarts = with_pool(Bounds(), use, monkeypatch)
    assert isinstance(first, list)
    assert isinstance(last, list)
    assert isinstance(endless, InputError)
    assert "broke the worker" in str(endless)
    assert restarts == 2


def test_a_caller_who_waited_too_long_is_told_and_not_answered_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(pool: WorkerPool) -> None:
        for task in pool._tasks:
            task.cancel()
        with pytest.raises(OverloadedError, match=r"no answer in 0\.2 s"):
            await pool.answer([Item(b"fine")])
        with pytest.raises(InputError, match="more than 4 pictures"):
            await pool.answer([Item(b"fine")] * 5)

    with_pool(Bounds(seconds=0.2, queue=4), use, monkeypatch)


def test_stopping_tells_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(pool: WorkerPool) -> None:
        for task in pool._tasks:
            task.cancel()
        waiting = asyncio.create_task(pool.answer([Item(b"fine")]))
        await asyncio.sleep(0.05)
        await pool.stop()
        with pytest.raises(UnavailableError, match="is stopping"):
            await waiting

    with_pool(Bounds(), use, monkeypatch)
