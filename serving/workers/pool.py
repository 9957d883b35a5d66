"""The queue between HTTP and the workers: dynamic batches, limits, and a new worker for each that ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from registry.errors import InputError, ModelyardError, UnavailableError, shorten
from serving.workers.connection import WorkerConnection
from serving.workers.messages import Item, pack_items, pack_load, read_done
from serving.workers.spawn import WorkerProcess, spawn
from serving.workers.waiting import PictureQueue, QueuedPicture, Rest, broken

log = logging.getLogger("modelyard.serving")
_PAUSE_S, _MOST_PAUSE_S = 0.5, 8.0
_LOOK_S = 0.001
_TRIES = 2
_HUNG_S, _HUNG_PART = 5.0, 3
"""A worker that takes longer than both this many seconds and this fraction of a caller's timeout is hanging."""


class _GoneError(Exception):
    """A worker ended while idle: no picture is at fault."""


class OverloadedError(ModelyardError):
    """More requests than can be answered soon."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Limits: workers, batch size and wait, queue length, timeout."""

    workers: int = 1
    threads: int = 1
    device: str = "cpu"
    max_batch: int = 8
    max_wait_ms: float = 0.0
    queue: int = 64
    seconds: float = 30.0


@dataclass
class Timings:
    """Durations of the last batches, for metrics; the app reads and empties it."""

    batches: list[tuple[int, float, float]] = field(default_factory=list[tuple[int, float, float]])
    restarts: int = 0


class WorkerPool:
    """Worker processes behind one queue."""

    def __init__(self, folder: Path, bounds: Bounds, first: WorkerProcess | None = None) -> None:
        """`first` is a worker that was started while this process was still importing its own modules."""
        self.row: tuple[int, ...] = ()
        self.provider = ""
        self.timings = Timings()
        self._folder, self._bounds, self._first = folder, bounds, first
        self._queue = PictureQueue()
        self._alive, self._answered = 0, 0
        self._closing = False
        self._tasks = list[asyncio.Task[None]]()

    @property
    def ready(self) -> bool:
        """Whether a worker can answer now."""
        return self._alive > 0 and not self._closing

    @property
    def waiting(self) -> int:
        """How many pictures are queued."""
        return len(self._queue)

    @property
    def size(self) -> int:
        """How many workers there are to be."""
        return self._bounds.workers

    @property
    def alive(self) -> int:
        """How many workers run."""
        return self._alive

    async def start(self) -> None:
        """Wait for the first worker; the others start in the background. Raises the error that kept the first from starting."""
        began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks.append(asyncio.create_task(self._keep(self._first, began)))
        await began
        self._tasks += [asyncio.create_task(self._keep(None, None)) for _ in range(1, self._bounds.workers)]

    async def stop(self) -> None:
        """End the workers, and fail whatever is queued."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for picture in self._queue.drain():
            self._fail(picture)

    @property
    def most(self) -> int:
        """How many pictures a request may hold."""
        return self._bounds.queue

    def check_room(self, pictures: int) -> None:
        """Raise OverloadedError if there is no room for this many pictures, however large they turn out to be.

        Requests with several pictures cannot take the room of those with one, nor large pictures that of small ones.
        """
        if pictures > self._queue.room(pictures, self._bounds.queue):
            raise self._overloaded()

    def check_count(self, pictures: int) -> None:
        """Raise InputError for more pictures than a request may hold."""
        if pictures > self._bounds.queue:
            raise InputError("request", f"holds more than {self._bounds.queue} pictures", "send fewer at a time")

    async def answer(self, items: Sequence[Item]) -> list[bytes]:
        """A row of float32 bytes for each. Raises InputError for a picture that is refused by its header or from memory."""
        self.check_count(len(items))
        self.check_room(len(items))
        loop = asyncio.get_running_loop()
        queued = [QueuedPicture(item, loop.create_future(), bulk=len(items) > 1) for item in items]
        for picture in queued:
            _ = picture.heavy  # reads its header
            if picture in self._queue.remembered:
                raise broken()
        if not self._queue.has_room(queued, self._bounds.queue):
            raise self._overloaded()
        self._queue.add(queued)
        try:
            async with asyncio.timeout(self._bounds.seconds):
                return await asyncio.gather(*(picture.answer for picture in queued))
        except TimeoutError:
            raise OverloadedError("server", f"had no answer in {self._bounds.seconds:g} s", "try again later") from None
        finally:
            for picture in queued:
                picture.answer.cancel()

    def _overloaded(self) -> OverloadedError:
        return OverloadedError("server", f"{self.waiting} pictures wait already", "try again in a second")

    def _spawn(self) -> WorkerProcess:
        try:
            worker = spawn()
        except OSError as error:
            why = f"cannot be started ({error.strerror or error})"
            raise UnavailableError("worker", why, "give the machine room for another process") from error
        with contextlib.suppress(OSError):  # one that ended at once is noticed when no hello comes
            worker.socket.sendall(pack_load(str(self._folder), self._bounds.threads, self._bounds.device))
        return worker

    async def _keep(self, spawned: WorkerProcess | None, began: asyncio.Future[None] | None) -> None:
        """Keep one worker running. One that ends without having answered is replaced later each time, up to a bound."""
        pause = _PAUSE_S
        while not self._closing:
            answered = self._answered
            try:
                await self._run(WorkerConnection(spawned or self._spawn()), began)
            except Exception as error:  # noqa: BLE001 whatever the error was, a worker is needed
                if began and (began.cancelled() or not began.done()):  # cancelled: another error came first
                    if not began.done():
                        began.set_exception(error)
                    return
                _log_end(error)
            spawned, began = None, None
            self.timings.restarts += 1
            pause = _PAUSE_S if self._answered > answered else min(pause, _MOST_PAUSE_S)
            await asyncio.sleep(pause)
            pause *= 2

    async def _run(self, connection: WorkerConnection, began: asyncio.Future[None] | None) -> None:
        """Feed one worker until it ends."""
        try:
            await connection.connect()
            self.row, self.provider = await connection.greeting()
            self._alive += 1
            try:
                if began and not began.done():
                    began.set_result(None)
                rest = Rest()
                while True:
                    await self._feed(connection, await self._idle(connection, rest), rest)
            finally:
                self._alive -= 1
        finally:
            await connection.close()

    async def _idle(self, connection: WorkerConnection, rest: Rest) -> list[QueuedPicture]:
        """The next batch. Raises _GoneError as soon as the waiting worker has ended."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as timeout:
                connection.when_gone(lambda: timeout.reschedule(loop.time()))
                return await self._batch(rest)
        except TimeoutError:
            raise _GoneError from None
        finally:
            connection.when_gone(None)

    async def _feed(self, connection: WorkerConnection, batch: list[QueuedPicture], rest: Rest) -> None:
        """Run one batch. Pictures on which the worker ends or hangs are tried again."""
        if connection.gone:
            self._queue.done(batch, rest, 0.0)
            self._queue.add(batch, first=True)
            raise _GoneError
        began = time.monotonic()
        try:
            limit = max(self._bounds.seconds / _HUNG_PART, _HUNG_S)
            done = read_done(*await connection.ask(pack_items([picture.item for picture in batch]), limit))
        except BaseException as error:
            hung = isinstance(error, TimeoutError) and len(batch) == 1  # a second try would take as long
            for picture in batch:
                if self._closing:
                    self._fail(picture)
                else:
                    self._retry(picture, last=hung)
            raise
        finally:
            self._queue.done(batch, rest, time.monotonic() - began)
        self._answered += 1
        self.timings.batches.append((len(batch), done.decode_s, done.predict_s))
        for index, picture in enumerate(batch):
            if picture.answer.done():
                continue
            if index in done.errors:
                picture.answer.set_exception(InputError(*_parts(done.errors[index])))
            else:
                picture.answer.set_result(done.rows[index])

    async def _batch(self, rest: Rest) -> list[QueuedPicture]:
        """The next pictures: this worker's share of the queue, once the first has waited for max_wait_ms.

        A large picture runs alone, and so does one on which a worker ended.
        """
        batch = [await self._queue.next(rest)]
        if batch[0].tries or batch[0].heavy:
            return batch
        most, deadline = self._bounds.max_batch, time.monotonic() + self._bounds.max_wait_ms / 1e3
        try:
            while len(batch) < most and (left := deadline - time.monotonic()) > 0:
                if (picture := self._queue.take_alike(batch[0])) is not None:
                    batch.append(picture)
                else:
                    await asyncio.sleep(min(left, _LOOK_S))
        except asyncio.CancelledError:
            self._queue.add(batch, first=True)
            raise
        share = min(most - len(batch), self._queue.alike(batch[0]) // max(self._alive, 1))
        while share > 0 and (picture := self._queue.take_alike(batch[0])) is not None:
            batch.append(picture)
            share -= 1
        return batch

    def _retry(self, picture: QueuedPicture, *, last: bool) -> None:
        """Try a picture again, alone; one that ends two workers, or that hangs alone, is refused, then and later."""
        picture.tries += 1
        if picture.tries >= _TRIES or last:
            self._queue.remembered.add(picture)
            picture.fail(broken())
        else:
            self._queue.add([picture])

    def _fail(self, picture: QueuedPicture) -> None:
        picture.fail(UnavailableError("server", "is stopping", "ask another server"))


def _log_end(error: Exception) -> None:
    """Log why a worker ended."""
    if isinstance(error, ModelyardError):
        log.error("worker did not start: %s", error)
    elif isinstance(error, _GoneError):
        log.warning("a worker ended while idle; starting another")
    elif isinstance(error, TimeoutError):
        log.error("a worker did not answer and was killed; starting another")
    else:
        log.error("a worker ended while it was busy; starting another", exc_info=error)


def _parts(text: str) -> tuple[str, str, str]:
    """An error's subject, expectation and remedy, from its line."""
    subject, _, rest = text.partition(": ")
    expectation, _, remedy = rest.rpartition("; ")
    return shorten(subject), expectation, remedy
