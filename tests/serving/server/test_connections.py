"""What a connection may cost before there is a request: bytes, seconds, and other connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

sys.path.insert(0, str(Path(__file__).parent))
from wire import answer_of, connect, exchange, problem

from serving.server import connections
from serving.server.app import as_json
from serving.server.connections import Throttle, bounded, connections_at_most
from serving.server.middleware import Guard, Limits
from serving.server.routing import router

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"


async def _home(_: object) -> object:
    return as_json({"ok": True})


async def _length(request) -> object:
    return as_json({"bytes": len(await request.body())})


@contextlib.contextmanager
def listening(app: object, protocol: type) -> Iterator[str]:
    """Serve an app by this protocol from a thread."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, http=protocol, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1)
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        running.should_exit = True
        thread.join(10)


@contextlib.contextmanager
def server(patience: float = 30.0, most: int = 1024, key: str = "") -> Iterator[str]:
    """A server of one address, in this process, with our protocol and guard."""
    app = Guard(router({"/": _home}, {"/": _length}), Limits(1_000_000, patience, key))  # type: ignore[dict-item]
    with listening(app, bounded(patience, most)) as url:
        yield url


def closed(wire: socket.socket, seconds: float = 10) -> bool:
    """Whether the other side hangs up, by then."""
    wire.settimeout(seconds)
    try:
        return wire.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nX-", b"\r\n", GET[:-2], POST[:-4]])
def test_a_head_that_does_not_arrive_ends_the_connection(sent: bytes) -> None:
    with server(patience=0.3) as url, connect(url) as wire:
        wire.sendall(sent)
        assert closed(wire, 5)


def test_empty_lines_keep_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """They begin no request, and uvicorn stops its own clock for each."""
    with server(patience=0.5) as url, connect(url) as wire:
        wire.sendall(GET)
        assert answer_of(wire).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 5:
                wire.sendall(b"\r\n")
                time.sleep(0.05)
        assert time.monotonic() - began < 4


@pytest.mark.parametrize("head", [POST, POST.replace(b"POST", b"GET"), POST.replace(b"POST / ", b"POST /nowhere ")])
def test_a_body_that_does_not_arrive_ends_the_connection_at_every_address(head: bytes, monkeypatch) -> None:
    monkeypatch.setattr(connections, "_LINGER_S", 0.3)
    with server(patience=0.3) as url, connect(url) as wire:
        wire.sendall(head + b"x")
        assert answer_of(wire).startswith(b"HTTP/1.1 ")
        assert closed(wire, 5)


def test_a_body_without_end_is_read_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_LINGER_BYTES", 2_000_000)
    with server() as url, connect(url) as wire:
        wire.sendall(GET[:-2] + b"Content-Length: 1000000000000\r\n\r\n")
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 100_000_000:
                sent += wire.send(b"x" * 100_000)
        assert sent < 50_000_000


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
def test_a_client_that_does_not_read_its_answer_is_let_go(more: bytes) -> None:
    ended = threading.Event()

    async def large(_scope: object, _receive: object, send: Callable[..., Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"50000000")]})
        await send({"type": "http.response.body", "body": bytes(50_000_000)})

    class Seen(bounded(0.5)):  # type: ignore[misc]
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            ended.set()

    with listening(large, Seen) as url, connect(url) as wire:
        wire.sendall(GET[:-2] + more + b"\r\n")
        assert ended.wait(6)


def test_a_client_without_the_key_is_refused_at_its_head() -> None:
    with server(key="secret") as url, connect(url) as wire:
        wire.sendall(POST.replace(b"POST / ", b"POST /predict ").replace(b"Length: 5", b"Length: 900000"))
        assert problem(answer_of(wire))[0] == 401


def test_the_slowest_make_room_and_whoever_sends_its_request_is_answered() -> None:
    with server(most=8) as url, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(url, "127.0.0.1")) for _ in range(4)]
        slow += [stack.enter_context(connect(url, "127.0.0.2")) for _ in range(4)]
        for wire in slow:
            wire.sendall(POST[:30])
        for host in ("127.0.0.3", "127.0.0.4"):
            with connect(url, host) as honest:
                honest.sendall(GET)
                assert answer_of(honest).startswith(b"HTTP/1.1 200")
        assert closed(slow[0], 5), "who has been slow the longest goes first"
        assert [wire for wire in slow[1:] if closed(wire, 0.02)] in ([], [slow[1]])


def test_one_client_takes_the_room_of_no_other() -> None:
    with server(most=8) as url, contextlib.ExitStack() as stack:
        first = stack.enter_context(connect(url, "127.0.0.9"))
        first.sendall(GET)
        answer_of(first)
        greedy = [stack.enter_context(connect(url, "127.0.0.5")) for _ in range(30)]
        for wire in greedy[-4:]:
            wire.sendall(GET)
            assert answer_of(wire).startswith(b"HTTP/1.1 200")
        assert all(closed(wire, 2) for wire in greedy[:26])
        first.sendall(GET)
        assert answer_of(first).startswith(b"HTTP/1.1 200")


def test_where_every_connection_is_at_work_another_is_told_so() -> None:
    at_work, release = threading.Semaphore(0), threading.Event()

    async def slowly(_scope: object, _receive: object, send: Callable[..., Awaitable[None]]) -> None:
        at_work.release()
        await asyncio.to_thread(release.wait, 60)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    with listening(slowly, bounded(30, 4)) as url, contextlib.ExitStack() as stack:
        for host in ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"):
            stack.enter_context(connect(url, host)).sendall(GET)
            assert at_work.acquire(timeout=60)
        with connect(url, "127.0.0.3") as wire:
            status, fields = problem(answer_of(wire))
        release.set()
        assert (status, "too many connections" in fields["error"]) == (503, True)


def test_requests_on_one_connection_are_answered_in_order_and_not_without_end() -> None:
    with server() as url:
        with connect(url) as wire:
            wire.sendall(GET * 3 + POST + b"12345")
            received = b""
            while received.count(b"HTTP/1.1 200") < 4:
                received += wire.recv(65_536)
            assert received.rstrip().endswith(b'{"bytes":5}')
        assert exchange(url, GET * 5_000).count(b"HTTP/1.1") <= 20
        assert exchange(url, GET).startswith(b"HTTP/1.1 200")


class _Transport(asyncio.Transport):
    """Says whether it reads."""

    reading = True

    def pause_reading(self) -> None:
        assert self.reading, "it was paused"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "it was reading"
        self.reading = True

    def is_closing(self) -> bool:
        return False


class _Loop:
    """Calls when time is moved."""

    def __init__(self) -> None:
        self.now, self.calls = 10.0, list[tuple[float, Callable[[], None]]]()

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> object:
        self.calls.append((self.now + seconds, call))
        return self

    def cancel(self) -> None:
        self.calls.clear()

    def move(self, now: float) -> None:
        self.now = now
        due, self.calls = [call for at, call in self.calls if at <= now], [entry for entry in self.calls if entry[0] > now]
        for call in due:
            call()


def test_a_connection_is_read_at_its_rate_and_no_pause_of_the_app_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_BYTES_A_SECOND", 100)
    monkeypatch.setattr(connections, "_BURST_BYTES", 50)
    transport, loop = _Transport(), _Loop()
    throttle = Throttle(transport, loop)  # type: ignore[arg-type]
    throttle.took(50)
    assert transport.reading
    throttle.took(100)
    assert not transport.reading
    throttle.pause_reading()
    throttle.resume_reading()
    assert not transport.reading  # the app is ready, and the rate is not
    loop.move(11.0)
    assert transport.reading
    throttle.took(100)
    throttle.pause_reading()
    loop.move(13.0)
    assert not transport.reading  # the rate is ready, and the app is not
    throttle.resume_reading()
    assert transport.reading


def test_there_are_no_more_connections_than_files() -> None:
    assert 16 <= connections_at_most() <= connections.CONNECTIONS
