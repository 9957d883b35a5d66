"""A worker as the server hears it: its wire, which tells at once when the worker is gone, whether anybody reads or not."""

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
    """A stream whose end somebody is told of who does not read."""

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__(limit=1 << 24)
        self._ended = ended

    def feed_eof(self) -> None:
        """There will be no more."""
        super().feed_eof()
        self._ended()

    def set_exception(self, exc: Exception) -> None:
        """The wire is broken."""
        super().set_exception(exc)
        self._ended()


class WorkerConnection:
    """A worker that was started, and both directions of its wire."""

    def __init__(self, spawned: WorkerProcess) -> None:
        """Use `connect`."""
        self._spawned, self._over = spawned, False
        self._reader = _Reader(self._end)
        self._writer: asyncio.StreamWriter | None = None
        self._tell: Callable[[], None] | None = None

    async def connect(self) -> None:
        """Take the wire over into the running loop."""
        loop = asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(self._reader)
        transport, _ = await loop.create_connection(lambda: protocol, sock=self._spawned.socket)
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)

    async def greeting(self) -> tuple[tuple[int, ...], str]:
        """What a worker that is ready says of its model; UnavailableError with what keeps it from being ready."""
        try:
            async with asyncio.timeout(_START_S):
                hello = read_hello((await self._read())[0])
        except (TimeoutError, EOFError, ConnectionError) as error:
            raise UnavailableError("worker", "ended before it was ready", "see what it printed") from error
        if hello.error:
            raise UnavailableError("worker", hello.error, "mend the bundle")
        return hello.row, hello.provider

    async def ask(self, message: bytes, seconds: float) -> tuple[bytes, bytes]:
        """The answer to a message. A worker that takes longer than that hangs: it is killed, and TimeoutError raised."""
        assert self._writer is not None  # noqa: S101 who asks has connected
        try:
            async with asyncio.timeout(seconds):
                self._writer.write(message)
                await self._writer.drain()
                return await self._read()
        except TimeoutError:
            if not self._spawned.ended():
                os.kill(self._spawned.pid, signal.SIGKILL)
            raise

    @property
    def gone(self) -> bool:
        """Whether a worker that owes no answer is gone, even where the loop was not told yet."""
        if self._over:
            return True
        try:
            return self._spawned.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """Call `tell` once, as soon as the worker is gone; None: call nobody any more."""
        self._tell = tell
        if self._over:
            self._end()

    async def close(self) -> None:
        """Hang up, and give the worker a moment to end."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        with contextlib.suppress(OSError):
            self._spawned.socket.close()
        for _ in range(100):
            if self._spawned.ended():
                return
            await asyncio.sleep(0.02)
        self._spawned.kill()

    async def _read(self) -> tuple[bytes, bytes]:
        head, data = lengths(await self._reader.readexactly(PREFIX))
        return await self._reader.readexactly(head), await self._reader.readexactly(data)

    def _end(self) -> None:
        self._over = True
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()
