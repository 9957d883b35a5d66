"""The queue before the workers: batches grow under load, pictures that break workers are refused, callers who left are skipped."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from registry.errors import InputError, UnavailableError
from serving.workers.messages import Item
from serving.workers.pool import Bounds, OverloadedError, WorkerPool

sys.path.insert(0, str(Path(__file__).parent))
from fragile import Counted, seen, with_pool

SMALL, LARGE = Item(b"small", (10, 10)), Item(b"large", (3000, 3000))


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


def test_a_picture_that_broke_two_workers_breaks_no_third_one(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Counted()

    async def use(pool: WorkerPool) -> None:
        copies = [pool.answer([Item(b"poison")]) for _ in range(6)]
        answers = await asyncio.gather(*copies, return_exceptions=True)
        assert all(isinstance(answer, InputError) and "broke the worker" in str(answer) for answer in answers)
        ended = pool.timings.restarts
        for _ in range(20):
            with pytest.raises(InputError, match="broke the worker"):
                await pool.answer([Item(b"poison")])
        assert await pool.answer([Item(b"fine")]) == [bytes([1]) * 4]
        assert pool.timings.restarts <= ended + 1
        assert ended <= 3

    with_pool(Bounds(max_batch=1), use, monkeypatch, started)


def test_a_picture_on_which_a_worker_hangs_alone_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.workers.pool._HUNG_S", 0.3)
    monkeypatch.setattr("serving.workers.pool._HUNG_PART", 1000)

    async def use(pool: WorkerPool) -> None:
        with pytest.raises(InputError, match="broke the worker"):
            await pool.answer([Item(b"endless")])
        await seen(lambda: pool.timings.restarts == 1)
        assert await pool.answer([Item(b"fine")]) == [bytes([1]) * 4]
        assert pool.timings.restarts == 1

    with_pool(Bounds(), use, monkeypatch)


def test_a_worker_that_never_answers_is_replaced_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    started, pauses = Counted(), list[float]()
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds > 0.4:
            pauses.append(seconds)
        await sleep(0)

    async def use(pool: WorkerPool) -> None:
        monkeypatch.setattr("serving.workers.pool._PAUSE_S", 0.5)
        monkeypatch.setattr("serving.workers.pool.asyncio.sleep", noted)
        assert await pool.answer([Item(b"fine")])
        started.failing = 7
        started.kill()
        assert await pool.answer([Item(b"fine")])

    with_pool(Bounds(), use, monkeypatch, started)
    assert pauses == sorted(pauses)
    assert pauses[-1] == 8.0


def test_honest_senders_are_answered_beside_two_who_send_what_breaks_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each poison is sent again and again; a control without memory ends a worker each time."""
    started = Counted()

    async def use(pool: WorkerPool) -> int:
        await seen(lambda: pool.alive == 2)
        answered, loop = 0, asyncio.get_running_loop()
        until = loop.time() + 2

        async def hostile() -> None:
            while loop.time() < until:
                with pytest.raises(InputError):
                    await pool.answer([Item(b"poison")])
                await asyncio.sleep(0)

        async def honest() -> None:
            nonlocal answered
            while loop.time() < until:
                await pool.answer([Item(b"fine")])
                answered += 1

        await asyncio.gather(hostile(), hostile(), honest(), honest())
        return answered

    assert with_pool(Bounds(workers=2, max_batch=1), use, monkeypatch, started) > 50
    assert len(started.all) <= 6


def test_a_picture_beyond_a_bound_reaches_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (1).to_bytes(4) + (60_000_000).to_bytes(4)

    async def use(pool: WorkerPool) -> None:
        with pytest.raises(InputError, match="100 times longer"):
            await pool.answer([Item(b"fine"), Item(head + b"\x01\0\0\0\0")])
        assert pool.waiting == 0
        assert pool.timings.batches == []

    with_pool(Bounds(), use, monkeypatch)


KINDS = {"single": ([SMALL], 1), "bulk": ([SMALL] * 2, 2), "large": ([LARGE], 1), "large bulk": ([LARGE] * 2, 2)}


@pytest.mark.parametrize("full", ["single", "bulk", "large", "large bulk"])
def test_what_fills_its_room_leaves_every_other_kind_its_own(full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(pool: WorkerPool) -> dict[str, bool]:
        busy = asyncio.create_task(pool.answer([Item(b"endless")]))
        await asyncio.sleep(0)
        await seen(lambda: pool.waiting == 0)  # the only worker has taken it
        pictures, each = KINDS[full]
        waiting = [asyncio.create_task(pool.answer(pictures)) for _ in range(4 // each)]
        await seen(lambda: pool.waiting == 4)
        refused = {}
        for kind, (others, _) in KINDS.items():
            asked = asyncio.create_task(pool.answer(others))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            refused[kind] = asked.done() and isinstance(asked.exception(), OverloadedError)
            asked.cancel()
            waiting.append(asked)
        for task in (busy, *waiting):
            task.cancel()
        await asyncio.gather(busy, *waiting, return_exceptions=True)
        return refused

    shared = {"large", "large bulk"}
    expected = shared if full in shared else {full}
    refused = with_pool(Bounds(max_batch=1, queue=4), use, monkeypatch)
    assert {kind for kind, was in refused.items() if was} == expected


def test_a_body_is_read_while_it_may_still_find_room_and_not_after(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(pool: WorkerPool) -> None:
        busy = asyncio.create_task(pool.answer([Item(b"endless")]))
        await asyncio.sleep(0)
        await seen(lambda: pool.waiting == 0)  # the only worker has taken it
        waiting = [asyncio.create_task(pool.answer([LARGE])) for _ in range(4)]
        await seen(lambda: pool.waiting == 4)
        pool.check_room(1)
        waiting += [asyncio.create_task(pool.answer([SMALL])) for _ in range(4)]
        await seen(lambda: pool.waiting == 8)
        with pytest.raises(OverloadedError, match="8 pictures wait already"):
            pool.check_room(1)
        pool.check_room(4)
        for task in (busy, *waiting):
            task.cancel()
        await asyncio.gather(busy, *waiting, return_exceptions=True)

    with_pool(Bounds(max_batch=1, queue=4), use, monkeypatch)
