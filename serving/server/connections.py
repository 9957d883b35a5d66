"""One client's connection: bounds on a head's bytes, on seconds, and on how many there are, before any request is handled.

uvicorn parses HTTP but waits without end, for any number of bytes, and answers what it cannot parse in plain text. Here each
wait for a client has a deadline, a refusal is JSON like every other, and where too many connections are open the one that
has kept us waiting longest is closed: a client that sends its request at once is never shut out by those that do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import secrets
from collections import Counter
from typing import ClassVar

import msgspec
from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

CONNECTIONS = 1024
"""Open connections; half of them may be one client's, where nothing else is said."""

_MOST_HEAD, _MOST_URL, _MOST_HEADERS = 32_768, 8_192, 128
_SLICE = 16_384
_PIPELINED = 16
_OTHER_FILES = 128
_BAD, _LONG_URL, _LONG_HEAD, _BUSY = 400, 414, 431, 503
_BYTES_A_SECOND, _BURST_BYTES = 16_000_000, 262_144
_LINGER_S, _LINGER_BYTES = 5.0, 64_000_000
"""How long what a refused client still sends is thrown away: a connection closed at once would lose it the answer."""


class _HeadError(Exception):
    """A head beyond a bound."""


class Throttle(FlowControl):
    """uvicorn's pausing and resuming, and no more bytes a second than one connection may have while there are others.

    Receiving costs the one thread that all clients share about a millisecond a megabyte.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing was received."""
        super().__init__(transport)
        self._loop, self._until = loop, 0.0
        self._held: asyncio.TimerHandle | None = None

    def took(self, count: int) -> None:
        """Count received bytes, and pause where they came too fast."""
        now = self._loop.time()
        self._until = max(self._until, now - _BURST_BYTES / _BYTES_A_SECOND) + count / _BYTES_A_SECOND
        if self._until > now and self._held is None:
            self._held = self._loop.call_later(self._until - now, self._release)
            if not self.read_paused:
                self._transport.pause_reading()

    def resume_reading(self) -> None:
        """What was received has been taken."""
        if self._held is None:
            super().resume_reading()
        else:
            self.read_paused = False

    def pause_reading(self) -> None:
        """Enough was received that nobody has taken."""
        if self._held is None:
            super().pause_reading()
        else:
            self.read_paused = True

    def end(self) -> None:
        """The connection is closed."""
        if self._held is not None:
            self._held.cancel()

    def _release(self) -> None:
        self._held = None
        if not self.read_paused and not self._transport.is_closing():
            self._transport.resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's, with bounds. Only `bounded` sets them, and gives each server its own counts."""

    patience: ClassVar[float]
    most: ClassVar[int]
    most_of_one: ClassVar[int]
    clients: ClassVar[Counter[str]]
    awaited: ClassVar[dict[BoundedProtocol, None]]
    """Connections whose client has something to do, longest first."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _discarded = 0
    _whole = True
    """Whether the last request has arrived in full."""
    _in_head = True
    _discarding = False
    _refusal = (_BAD, "request: is not valid HTTP; send HTTP/1.1")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(transport)
        self.flow = self._throttle = Throttle(transport, self.loop)
        self._wait(self.patience)
        self.clients[self.host] += 1
        if len(self.connections) > self.most or self.clients[self.host] > self.most_of_one:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._cancel_timer()
        self.awaited.pop(self, None)
        self._throttle.end()
        self.clients[self.host] -= 1
        if self.clients[self.host] <= 0:
            del self.clients[self.host]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes, handed to the parser in slices so that a bound holds within a packet, too."""
        if len(self.connections) > 1:
            self._throttle.took(len(data))
        at = 0
        while at < len(data) and not self._discarding and not self.transport.is_closing():
            part = data[at : at + _SLICE] if self._in_head else data[at:]
            at += len(part)
            if self._in_head:
                self._head_bytes += len(part)
                if self._head_bytes > _MOST_HEAD + _SLICE:
                    self._refuse(_LONG_HEAD, f"request: its head is larger than {_MOST_HEAD:,} bytes; send fewer headers")
                    break
            super().data_received(part)
        if self._discarding or (self.cycle is not None and self.cycle.response_complete and not self._whole):
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES:
                self.transport.abort()
        elif self._timer is None and self._in_head and self in self.awaited:
            self._wait(self.patience)  # uvicorn has just stopped its own timer, be it for an empty line

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 our line says more
        """The parser, or one of our bounds, refused the head."""
        self._refuse(*self._refusal)

    def on_message_begin(self) -> None:
        """Another request on the same connection."""
        if len(self.pipeline) >= _PIPELINED:
            raise self._beyond(_BAD, f"request: more than {_PIPELINED} were sent before an answer; wait for answers")
        super().on_message_begin()
        self._whole, self._in_head = False, True
        if self in self.awaited:
            self._wait(self.patience)

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        super().on_url(url)
        if len(self.url) > _MOST_URL:
            raise self._beyond(_LONG_URL, f"request: its address is longer than {_MOST_URL:,} bytes; send data in the body")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        if len(self.headers) >= _MOST_HEADERS:
            raise self._beyond(_LONG_HEAD, f"request: has more than {_MOST_HEADERS} headers; send fewer")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete; the guard bounds how long its body may take."""
        self._cancel_timer()
        self._head_bytes, self._in_head, self._discarded = 0, False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request has arrived in full."""
        self._whole, self._in_head = True, True
        super().on_message_complete()
        if self.cycle.response_complete:  # it was answered before: the connection is idle now
            self._wait(self.timeout_keep_alive)
        else:
            self._cancel_timer()
            self.awaited.pop(self, None)

    def on_response_complete(self) -> None:
        """Answered. What follows of a request that was answered early is read for a while only."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait(self.patience)  # for the client to read the answer
            return
        if not self.cycle.response_complete:
            return
        self.awaited[self] = None
        if not self._whole:
            self._unset_keepalive_if_required()
            self._wait(_LINGER_S)

    def timeout_keep_alive_handler(self) -> None:
        """Idle. A transport that is closed still waits for a client that does not read."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """The client does not read: it has as long for that as for sending."""
        super().pause_writing()
        self._wait(self.patience)

    def resume_writing(self) -> None:
        """The client has read everything."""
        super().resume_writing()
        if self._whole and not self._discarding:
            self._cancel_timer()
            if not self.cycle.response_complete:
                self.awaited.pop(self, None)

    @property
    def host(self) -> str:
        """The client's address."""
        return self.client[0] if self.client else ""

    def _beyond(self, status: int, why: str) -> _HeadError:
        self._refusal = (status, why)
        return _HeadError(why)

    def _wait(self, seconds: float) -> None:
        """Close the connection unless the client has done its part by then."""
        self._cancel_timer()
        self._timer = self.loop.call_later(seconds, self._expire)
        self.awaited.setdefault(self)

    def _expire(self) -> None:
        self._timer = None
        self.transport.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _make_room(self) -> None:
        """Close the connection that has kept us waiting longest: any, or one of this client's where those are too many."""
        own = len(self.connections) <= self.most
        longest = next((other for other in self.awaited if other is not self and not (own and other.host != self.host)), None)
        if longest is not None:
            del self.awaited[longest]
            longest.transport.abort()
        else:
            self._refuse(_BUSY, "server: has too many connections at work; try again in a second")

    def _refuse(self, status: int, why: str) -> None:
        """Answer in JSON and close; only close where another answer is under way."""
        if self.pipeline or (self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete):
            self.transport.close()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        request_id = secrets.token_hex(8)
        body = msgspec.json.encode({"error": why, "request_id": request_id})
        fields = {"content-type": "application/json", "content-length": len(body), "x-request-id": request_id}
        fields |= {"connection": "close"} | ({"retry-after": 1} if status == _BUSY else {})
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.transport.write(STATUS_LINE[status] + head.encode() + b"\r\n" + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._discarding = True
        self._wait(_LINGER_S)


def bounded(patience: float, most: int = CONNECTIONS, most_of_one: int = 0) -> type[BoundedProtocol]:
    """The protocol of one server: `patience` seconds for a head, and for reading an answer; `most` connections at once."""
    bounds = {"patience": patience, "most": most, "most_of_one": of_one_client(most, most_of_one)}
    return type("Protocol", (BoundedProtocol,), {**bounds, "clients": Counter(), "awaited": {}})


def of_one_client(most: int, wanted: int) -> int:
    """How many of `most` connections one client address may have: as many as are wanted, or half of them for 0."""
    return min(wanted or most // 2, most)


def server_of(app: ASGIApp, protocol: type[BoundedProtocol], drain_s: int | None = None) -> Server:
    """The server of an app that logs by itself; a stop waits `drain_s` seconds for what was begun, or without end."""
    settings = Config(app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False)
    settings.timeout_graceful_shutdown = drain_s
    return Server(settings)


def connections_at_most() -> int:
    """How many connections this process has file descriptors for, after asking for more of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + _OTHER_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES), 16)
