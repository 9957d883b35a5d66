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
from serving.spawn import Spawned, spawn
from serving.wire import PREFIX, Item, lengths, pack_items, pack_order, read_done, read_hello

log = logging.getLogger("modelyard.serving")
_START_S = 120.0
_PAUSE_S = 0.5
_TRIES = 2


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
        self._tasks.append(asyncio.create_task(self._keep(self._first or self._spawn(), began)))
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
        found = spawn()
        found.wire.sendall(pack_order(str(self._folder), self._bounds.threads, self._bounds.device))
        return found

    async def _keep(self, spawned: Spawned | None, began: asyncio.Future[None] | None) -> None:
        """Keep one worker running."""
        while not self._closing:
            spawned = spawned or self._spawn()
            try:
                await self._run(spawned, began)
            except ModelyardError as error:
                if began and (began.cancelled() or not began.done()):  # cancelled: another flaw was found first
                    if not began.done():
                        began.set_exception(error)
                    return
                log.error("worker did not start: %s", error)  # noqa: TRY400 its line says all
            except Exception:
                if began and began.cancelled():
                    return
                log.exception("a worker ended while it was needed; another one starts")
            finally:
                await _end(spawned)
            spawned, began = None, None
            self.timings.restarts += 1
            await asyncio.sleep(_PAUSE_S)

    async def _run(self, spawned: Spawned, began: asyncio.Future[None] | None) -> None:
        """Feed one worker until it ends."""
        reader, writer = await asyncio.open_connection(sock=spawned.wire, limit=1 << 24)
        try:
            self.row, self.provider = await _greeting(reader)
            self._alive += 1
            try:
                if began and not began.done():
                    began.set_result(None)
                await self._feed(reader, writer)
            finally:
                self._alive -= 1
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _feed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Batches, one after the other, until the worker is gone."""
        while True:
            batch = await self._batch()
            try:
                writer.write(pack_items([one.item for one in batch]))
                await writer.drain()
                done = read_done(*await _read(reader))
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
        while len(batch) < most and (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    batch.append(await self._next())
            except TimeoutError:
                break
        share = min(most - len(batch), self._queue.qsize() // max(self._alive, 1))
        for _ in range(share):
            one = self._queue.get_nowait()
            if one.tries:
                self._queue.put_nowait(one)
            elif not one.answer.done():
                batch.append(one)
        return batch

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


async def _greeting(reader: asyncio.StreamReader) -> tuple[tuple[int, ...], str]:
    """What a worker that is ready says of its model; UnavailableError with what keeps it from being ready."""
    try:
        async with asyncio.timeout(_START_S):
            hello = read_hello((await _read(reader))[0])
    except (TimeoutError, EOFError, ConnectionError) as error:
        raise UnavailableError("worker", "ended before it was ready", "see what it printed") from error
    if hello.error:
        raise UnavailableError("worker", hello.error, "mend the bundle")
    return hello.row, hello.provider


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head, data = lengths(await reader.readexactly(PREFIX))
    return await reader.readexactly(head), await reader.readexactly(data)


async def _end(spawned: Spawned) -> None:
    """Give a worker whose wire is closed a moment to end."""
    with contextlib.suppress(OSError):
        spawned.wire.close()
    for _ in range(100):
        if spawned.ended():
            return
        await asyncio.sleep(0.02)
    spawned.kill()


def _parts(text: str) -> tuple[str, str, str]:
    """An error's three parts, out of its line."""
    subject, _, rest = text.partition(": ")
    expectation, _, remedy = rest.rpartition("; ")
    return shorten(subject), expectation, remedy
