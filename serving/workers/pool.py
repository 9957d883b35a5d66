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

log = logging.getLogger("modelyard.serving")
_PAUSE_S = 0.5
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
class _QueuedPicture:
    """A picture whose caller waits for the answer."""

    item: Item
    answer: asyncio.Future[bytes]
    tries: int = 0


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
        self._queue: asyncio.Queue[_QueuedPicture] = asyncio.Queue()
        self._alive = 0
        self._closing = False
        self._tasks = list[asyncio.Task[None]]()

    @property
    def ready(self) -> bool:
        """Whether a worker can answer now."""
        return self._alive > 0 and not self._closing

    @property
    def waiting(self) -> int:
        """How many pictures are queued."""
        return self._queue.qsize()

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
        while not self._queue.empty():
            self._fail(self._queue.get_nowait())

    def check_room(self, pictures: int) -> None:
        """Raise OverloadedError if the queue has no room for this many pictures."""
        if self._queue.qsize() + pictures > self._bounds.queue:
            raise OverloadedError("server", f"{self._queue.qsize()} pictures wait already", "try again in a second")

    async def answer(self, items: Sequence[Item]) -> list[bytes]:
        """A row of float32 bytes for each."""
        if len(items) > self._bounds.queue:
            raise InputError("request", f"holds more than {self._bounds.queue} pictures", "send fewer at a time")
        self.check_room(len(items))
        loop = asyncio.get_running_loop()
        queued = [_QueuedPicture(item, loop.create_future()) for item in items]
        for picture in queued:
            self._queue.put_nowait(picture)
        try:
            async with asyncio.timeout(self._bounds.seconds):
                return await asyncio.gather(*(picture.answer for picture in queued))
        except TimeoutError:
            raise OverloadedError("server", f"had no answer in {self._bounds.seconds:g} s", "try again later") from None
        finally:
            for picture in queued:
                picture.answer.cancel()

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
        """Keep one worker running."""
        while not self._closing:
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
            await asyncio.sleep(_PAUSE_S)

    async def _run(self, connection: WorkerConnection, began: asyncio.Future[None] | None) -> None:
        """Feed one worker until it ends."""
        try:
            await connection.connect()
            self.row, self.provider = await connection.greeting()
            self._alive += 1
            try:
                if began and not began.done():
                    began.set_result(None)
                while True:
                    await self._feed(connection, await self._idle(connection))
            finally:
                self._alive -= 1
        finally:
            await connection.close()

    async def _idle(self, connection: WorkerConnection) -> list[_QueuedPicture]:
        """The next batch. Raises _GoneError as soon as the waiting worker has ended."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as timeout:
                connection.when_gone(lambda: timeout.reschedule(loop.time()))
                return await self._batch()
        except TimeoutError:
            raise _GoneError from None
        finally:
            connection.when_gone(None)

    async def _feed(self, connection: WorkerConnection, batch: list[_QueuedPicture]) -> None:
        """Run one batch. Pictures on which the worker ends or hangs are tried again."""
        if connection.gone:
            self._put_back(batch)
            raise _GoneError
        try:
            limit = max(self._bounds.seconds / _HUNG_PART, _HUNG_S)
            done = read_done(*await connection.ask(pack_items([picture.item for picture in batch]), limit))
        except BaseException:
            for picture in batch:
                if self._closing:
                    self._fail(picture)
                else:
                    self._retry(picture)
            raise
        self.timings.batches.append((len(batch), done.decode_s, done.predict_s))
        for index, picture in enumerate(batch):
            if picture.answer.done():
                continue
            if index in done.errors:
                picture.answer.set_exception(InputError(*_parts(done.errors[index])))
            else:
                picture.answer.set_result(done.rows[index])

    async def _batch(self) -> list[_QueuedPicture]:
        """The next pictures: this worker's share of the queue, once the first has waited for max_wait_ms."""
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
            picture = self._queue.get_nowait()
            if picture.tries:
                self._queue.put_nowait(picture)
            elif not picture.answer.done():
                batch.append(picture)
        return batch

    def _put_back(self, batch: Sequence[_QueuedPicture]) -> None:
        for picture in batch:
            self._queue.put_nowait(picture)

    async def _next(self) -> _QueuedPicture:
        while True:
            picture = await self._queue.get()
            if not picture.answer.done():  # skip callers that timed out
                return picture

    def _retry(self, picture: _QueuedPicture) -> None:
        """Try a picture again, alone; one that ends two workers is refused."""
        picture.tries += 1
        if picture.tries >= _TRIES:
            if not picture.answer.done():
                picture.answer.set_exception(InputError("image", "broke the worker that read it", "send another file"))
        else:
            self._queue.put_nowait(picture)

    def _fail(self, picture: _QueuedPicture) -> None:
        if not picture.answer.done():
            picture.answer.set_exception(UnavailableError("server", "is stopping", "ask another server"))


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
