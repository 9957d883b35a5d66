"""The server's connection to a worker, which reports at once that the worker has ended, even while idle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable

from registry.errors import UnavailableError
from serving.workers.messages import PREFIX, lengths, read_hello
from serving.workers.spawn import WorkerProcess

_START_S = 120.0


class _Reader(asyncio.StreamReader):
    """A stream that reports its end without being read."""

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__(limit=1 << 24)
        self._ended = ended

    def feed_eof(self) -> None:
        """The worker closed its end."""
        super().feed_eof()
        self._ended()

    def set_exception(self, exc: Exception) -> None:
        """The connection broke."""
        super().set_exception(exc)
        self._ended()


class WorkerConnection:
    """The connection to a worker process, in both directions."""

    def __init__(self, process: WorkerProcess) -> None:
        """Use `connect`."""
        self._process, self._ended = process, False
        self._reader = _Reader(self._end)
        self._writer: asyncio.StreamWriter | None = None
        self._on_end: Callable[[], None] | None = None

    async def connect(self) -> None:
        """Attach the socket to the running event loop."""
        loop = asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(self._reader)
        transport, _ = await loop.create_connection(lambda: protocol, sock=self._process.socket)
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)

    async def greeting(self) -> tuple[tuple[int, ...], str]:
        """The model's output shape and provider, once it is ready. Raises UnavailableError if the worker cannot start."""
        try:
            async with asyncio.timeout(_START_S):
                hello = read_hello((await self._read())[0])
        except (TimeoutError, EOFError, ConnectionError) as error:
            raise UnavailableError("worker", "ended before it was ready", "see its output") from error
        if hello.error:
            raise UnavailableError("worker", hello.error, "fix the bundle")
        return hello.row, hello.provider

    async def ask(self, message: bytes, seconds: float) -> tuple[bytes, bytes]:
        """The answer to a message. A worker that takes longer is killed, and TimeoutError raised."""
        assert self._writer is not None  # noqa: S101 connect() came before
        try:
            async with asyncio.timeout(seconds):
                self._writer.write(message)
                await self._writer.drain()
                return await self._read()
        except TimeoutError:
            if not self._process.ended():
                os.kill(self._process.pid, signal.SIGKILL)
            raise

    @property
    def gone(self) -> bool:
        """Whether an idle worker has ended, even if the event loop has not noticed yet."""
        if self._ended:
            return True
        try:
            return self._process.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def when_gone(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` once, as soon as the worker has ended; None cancels it."""
        self._on_end = callback
        if self._ended:
            self._end()

    async def close(self) -> None:
        """Close the connection, and give the worker two seconds to end."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        with contextlib.suppress(OSError):
            self._process.socket.close()
        for _ in range(100):
            if self._process.ended():
                return
            await asyncio.sleep(0.02)
        self._process.kill()

    async def _read(self) -> tuple[bytes, bytes]:
        head, data = lengths(await self._reader.readexactly(PREFIX))
        return await self._reader.readexactly(head), await self._reader.readexactly(data)

    def _end(self) -> None:
        self._ended = True
        callback, self._on_end = self._on_end, None
        if callback is not None:
            callback()
