"""The queue between HTTP and the workers: dynamic batches, bounds, and a new worker for one that broke."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from registry.errors import InputError, ModelyardError, UnavailableError, shorten
from serving.workers.connection import Line
from serving.workers.messages import Item, pack_items, pack_order, read_done
from serving.workers.spawn import Spawned, spawn

log = logging.getLogger("modelyard.serving")
_PAUSE_S = 0.5
_TRIES = 2
_HUNG_S, _HUNG_PART = 5.0, 3
"""A worker hangs that takes longer for a batch than so many seconds, and than this part of what a caller waits."""


class _GoneError(Exception):
    """A worker ended while it had nothing to do: nobody's picture is at fault."""


class OverloadedError(ModelyardError):
    """More is asked than can be answered soon."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How many workers, how large a batch may grow and wait, and how much may wait in line."""

    workers: int = 1
    threads: int = 1
    device: str = "cpu"
    max_batch: int = 8
    max_wait_ms: float = 0.0
    queue: int = 64
    seconds: float = 30.0


@dataclass
class _Asked:
    """A picture that somebody waits for."""

    item: Item
    answer: asyncio.Future[bytes]
    tries: int = 0


@dataclass
class Timings:
    """What the last batches took, for metrics; the app reads and empties it."""

    batches: list[tuple[int, float, float]] = field(default_factory=list[tuple[int, float, float]])
    restarts: int = 0


class WorkerEngine:
    """Worker processes behind one queue."""

    def __init__(self, folder: Path, bounds: Bounds, first: Spawned | None = None) -> None:
        """`first` is a worker that was started and told what to load while this process still imported its own parts."""
        self.row: tuple[int, ...] = ()
        self.provider = ""
        self.timings = Timings()
        self._folder, self._bounds, self._first = folder, bounds, first
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue()
        self._alive = 0
        self._closing = False
        self._tasks = list[asyncio.Task[None]]()

    @property
    def ready(self) -> bool:
        """Whether a worker can answer now."""
        return self._alive > 0 and not self._closing

    @property
    def waiting(self) -> int:
        """How many pictures wait in line."""
        return self._queue.qsize()

    @property
    def alive(self) -> int:
        """How many workers run."""
        return self._alive

    async def start(self) -> None:
        """Wait for the first worker; the others start behind it. Raises what kept the first one from starting."""
        began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks.append(asyncio.create_task(self._keep(self._first, began)))
        await began
        self._tasks += [asyncio.create_task(self._keep(None, None)) for _ in range(1, self._bounds.workers)]

    async def stop(self) -> None:
        """End the workers; what waits is told."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._queue.empty():
            self._fail(self._queue.get_nowait())

    def check_room(self, pictures: int) -> None:
        """Raise OverloadedError when so many more would wait too long."""
        if self._queue.qsize() + pictures > self._bounds.queue:
            raise OverloadedError("server", f"{self._queue.qsize()} pictures wait already", "try again in a second")

    async def answer(self, items: Sequence[Item]) -> list[bytes]:
        """A row of float32 bytes for each."""
        if len(items) > self._bounds.queue:
            raise InputError("request", f"holds more than {self._bounds.queue} pictures", "send fewer at a time")
        self.check_room(len(items))
        loop = asyncio.get_running_loop()
        asked = [_Asked(item, loop.create_future()) for item in items]
        for one in asked:
            self._queue.put_nowait(one)
        try:
            async with asyncio.timeout(self._bounds.seconds):
                return await asyncio.gather(*(one.answer for one in asked))
        except TimeoutError:
            raise OverloadedError("server", f"had no answer in {self._bounds.seconds:g} s", "try again later") from None
        finally:
            for one in asked:
                one.answer.cancel()

    def _spawn(self) -> Spawned:
        try:
            found = spawn()
        except OSError as error:
            why = f"cannot be started ({error.strerror or error})"
            raise UnavailableError("worker", why, "give the machine room for another process") from error
        with contextlib.suppress(OSError):  # one that ended at once is noticed when it does not greet
            found.wire.sendall(pack_order(str(self._folder), self._bounds.threads, self._bounds.device))
        return found

    async def _keep(self, spawned: Spawned | None, began: asyncio.Future[None] | None) -> None:
        """Keep one worker running."""
        while not self._closing:
            try:
                await self._run(Line(spawned or self._spawn()), began)
            except Exception as error:  # noqa: BLE001 whatever it was, a worker is needed
                if began and (began.cancelled() or not began.done()):  # cancelled: another flaw was found first
                    if not began.done():
                        began.set_exception(error)
                    return
                _note(error)
            spawned, began = None, None
            self.timings.restarts += 1
            await asyncio.sleep(_PAUSE_S)

    async def _run(self, line: Line, began: asyncio.Future[None] | None) -> None:
        """Feed one worker until it ends."""
        try:
            await line.connect()
            self.row, self.provider = await line.greeting()
            self._alive += 1
            try:
                if began and not began.done():
                    began.set_result(None)
                while True:
                    await self._feed(line, await self._idle(line))
            finally:
                self._alive -= 1
        finally:
            await line.close()

    async def _idle(self, line: Line) -> list[_Asked]:
        """The next batch. Raises _GoneError as soon as the worker that waits for it is gone."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as patience:
                line.when_gone(lambda: patience.reschedule(loop.time()))
                return await self._batch()
        except TimeoutError:
            raise _GoneError from None
        finally:
            line.when_gone(None)

    async def _feed(self, line: Line, batch: list[_Asked]) -> None:
        """Have one batch answered. What the worker breaks on, or hangs on, is asked again."""
        if line.gone:
            self._put_back(batch)
            raise _GoneError
        try:
            limit = max(self._bounds.seconds / _HUNG_PART, _HUNG_S)
            done = read_done(*await line.ask(pack_items([one.item for one in batch]), limit))
        except BaseException:
            for one in batch:
                if self._closing:
                    self._fail(one)
                else:
                    self._again(one)
            raise
        self.timings.batches.append((len(batch), done.decode_s, done.predict_s))
        for place, one in enumerate(batch):
            if one.answer.done():
                continue
            if place in done.errors:
                one.answer.set_exception(InputError(*_parts(done.errors[place])))
            else:
                one.answer.set_result(done.rows[place])

    async def _batch(self) -> list[_Asked]:
        """The next pictures: this worker's share of what waits, after the first one waited as long as it may."""
        batch = [await self._next()]
        if batch[0].tries:
            return batch
        most, deadline = self._bounds.max_batch, time.monotonic() + self._bounds.max_wait_ms / 1e3
        try:
            while len(batch) < most and (left := deadline - time.monotonic()) > 0:
                async with asyncio.timeout(left):
                    batch.append(await self._next())
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self._put_back(batch)
            raise
        share = min(most - len(batch), self._queue.qsize() // max(self._alive, 1))
        for _ in range(share):
            one = self._queue.get_nowait()
            if one.tries:
                self._queue.put_nowait(one)
            elif not one.answer.done():
                batch.append(one)
        return batch

    def _put_back(self, batch: Sequence[_Asked]) -> None:
        for one in batch:
            self._queue.put_nowait(one)

    async def _next(self) -> _Asked:
        while True:
            one = await self._queue.get()
            if not one.answer.done():  # somebody who waited too long is gone
                return one

    def _again(self, one: _Asked) -> None:
        """Ask again what a worker broke on, by itself; what breaks two is refused."""
        one.tries += 1
        if one.tries >= _TRIES:
            if not one.answer.done():
                one.answer.set_exception(InputError("image", "broke the worker that read it", "send another file"))
        else:
            self._queue.put_nowait(one)

    def _fail(self, one: _Asked) -> None:
        if not one.answer.done():
            one.answer.set_exception(UnavailableError("server", "is stopping", "ask another one"))


def _note(error: Exception) -> None:
    """Why a worker ended, in the log."""
    if isinstance(error, ModelyardError):
        log.error("worker did not start: %s", error)
    elif isinstance(error, _GoneError):
        log.warning("a worker ended while it had nothing to do; another one starts")
    elif isinstance(error, TimeoutError):
        log.error("a worker did not answer; it was ended, and another one starts")
    else:
        log.error("a worker ended while it was needed; another one starts", exc_info=error)


def _parts(text: str) -> tuple[str, str, str]:
    """An error's three parts, out of its line."""
    subject, _, rest = text.partition(": ")
    expectation, _, remedy = rest.rpartition("; ")
    return shorten(subject), expectation, remedy
