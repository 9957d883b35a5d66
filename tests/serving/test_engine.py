"""The queue before the workers: batches grow under load, pictures that break workers are refused, callers who left are skipped."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import InputError, UnavailableError
from serving.engine import Bounds, OverloadedError, WorkerEngine
from serving.spawn import Spawned
from serving.wire import Item

ROOT = Path(__file__).resolve().parents[2]
_FRAGILE = """
import socket, sys
from serving.wire import Done, Hello, pack_done, pack_hello, read_items, receive
wire = socket.socket(fileno=int(sys.argv[1]))
wire.sendall(pack_hello(Hello("test", (1,))))
while (told := receive(wire)) is not None:
    items = read_items(*told)
    if any(item.data == b"poison" for item in items):
        sys.exit(1)
    wire.sendall(pack_done(Done([bytes([len(items)]) * 4 for _ in items], {}, 0.0, 0.0)))
wire.close()
"""


def fragile() -> Spawned:
    """A worker that answers with the size of the batch, and ends at the sight of poison."""
    ours, theirs = socket.socketpair()
    with theirs:
        os.set_inheritable(theirs.fileno(), True)
        command = [sys.executable, "-c", _FRAGILE, str(theirs.fileno())]
        return Spawned(os.posix_spawn(sys.executable, command, os.environ | {"PYTHONPATH": str(ROOT)}), ours)


def with_engine(bounds: Bounds, use: Callable, monkeypatch: pytest.MonkeyPatch):
    """What `use` makes of a started engine with fragile workers."""

    async def run():
        engine = WorkerEngine(Path(), bounds)
        await engine.start()
        try:
            return await use(engine)
        finally:
            await engine.stop()

    monkeypatch.setattr(WorkerEngine, "_spawn", lambda _: fragile())
    return asyncio.run(run())


def test_a_batch_takes_what_waits_and_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(engine: WorkerEngine) -> list[int]:
        rows = await engine.answer([Item(b"fine")] * 10)
        return [row[0] for row in rows]

    assert with_engine(Bounds(max_batch=4), use, monkeypatch) == [4] * 4 + [4] * 4 + [2] * 2
    assert with_engine(Bounds(max_batch=1), use, monkeypatch) == [1] * 10


def test_a_batch_waits_for_others_as_long_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(engine: WorkerEngine) -> list[int]:
        first = asyncio.create_task(engine.answer([Item(b"early")]))
        await asyncio.sleep(0.05)
        second = await engine.answer([Item(b"late")])
        return [(await first)[0][0], second[0][0]]

    assert with_engine(Bounds(max_batch=4, max_wait_ms=1000), use, monkeypatch) == [2, 2]
    assert with_engine(Bounds(max_batch=4), use, monkeypatch) == [1, 1]


def test_a_picture_that_breaks_two_workers_is_refused_and_its_neighbours_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(engine: WorkerEngine) -> tuple[object, ...]:
        asked = (engine.answer([Item(data)]) for data in (b"fine", b"poison", b"fine"))
        found = await asyncio.gather(*asked, return_exceptions=True)
        return (*found, engine.timings.restarts)

    first, poison, last, restarts = with_engine(Bounds(max_batch=4), use, monkeypatch)
    assert isinstance(first, list)
    assert isinstance(last, list)
    assert isinstance(poison, InputError)
    assert "broke the worker" in str(poison)
    assert restarts == 2


def test_a_caller_who_waited_too_long_is_told_and_not_answered_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(engine: WorkerEngine) -> None:
        for task in engine._tasks:
            task.cancel()
        with pytest.raises(OverloadedError, match=r"no answer in 0\.2 s"):
            await engine.answer([Item(b"fine")])
        with pytest.raises(InputError, match="more than 4 pictures"):
            await engine.answer([Item(b"fine")] * 5)

    with_engine(Bounds(seconds=0.2, queue=4), use, monkeypatch)


def test_stopping_tells_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(engine: WorkerEngine) -> None:
        for task in engine._tasks:
            task.cancel()
        waiting = asyncio.create_task(engine.answer([Item(b"fine")]))
        await asyncio.sleep(0.05)
        await engine.stop()
        with pytest.raises(UnavailableError, match="is stopping"):
            await waiting

    with_engine(Bounds(), use, monkeypatch)


def test_figures_that_nobody_reads_do_not_pile_up() -> None:
    from serving.engine import Timings
    from serving.metrics import Metrics
    from serving.protocols.about import Served

    timings = Timings()
    metrics = Metrics(Served("colours", 1, "0" * 64, ["red"], (3,)), timings)
    for _ in range(2500):
        timings.batches.append((1, 0.001, 0.001))
        metrics.request("plain", 200, 0.002)
    assert len(timings.batches) == 500
    assert len(metrics._requests) == 500
