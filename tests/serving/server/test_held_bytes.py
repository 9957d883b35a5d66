"""What clients send is held until they are answered: for one client, and for all, no more bytes than a bound."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from test_connections import listening
from wire import answer_of, connect, problem

from registry.errors import UnavailableError
from serving.server.app import as_json
from serving.server.connections import bounded
from serving.server.http import _limits
from serving.server.middleware import Guard, HeldBytes, Limits
from serving.server.options import arguments
from serving.server.routing import router

BODY = 40_000
LIMITS = Limits(max_bytes=BODY, body_seconds=30, held_bytes=10 * BODY)


async def _length(request: Any) -> Any:
    return as_json({"bytes": len(await request.body())})


def unfinished(url: str, host: str) -> socket.socket:
    """A request whose last byte does not come."""
    wire = connect(url, host)
    wire.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY}\r\n\r\n".encode() + b"x" * (BODY - 1))
    return wire


def answered(wires: Sequence[socket.socket], expected: int) -> list[socket.socket]:
    """Those that the server has answered or closed, once they are as many as expected; a little later, to see no more of them."""
    deadline = time.monotonic() + 10
    while len(select.select(wires, [], [], 0)[0]) < expected and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    return select.select(wires, [], [], 0)[0]


def refused(wires: Sequence[socket.socket], expected: int) -> bool:
    """Whether so many are answered before their last byte is there, all by 503 with a time to try again."""
    ready = answered(wires, expected)
    for wire in ready:
        answer = answer_of(wire)
        assert b"retry-after: 1" in answer.lower()
        status, fields = problem(answer)
        assert (status, "too many bytes" in fields["error"]) == (503, True)
    return len(ready) == expected


def test_clients_that_never_finish_hold_a_bounded_number_of_bytes_and_one_of_them_half() -> None:
    guard = Guard(router({}, {"/": _length}), LIMITS)
    with listening(guard, bounded(30)) as url, contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(unfinished(url, "127.0.0.5")) for _ in range(12)]
        assert refused(greedy, 7)
        others = [stack.enter_context(unfinished(url, f"127.0.0.{10 + number}")) for number in range(8)]
        assert refused(others, 3)
        for wire in others:
            wire.close()
        deadline = time.monotonic() + 10
        while guard._held._all > 5 * BODY and time.monotonic() < deadline:
            time.sleep(0.01)
        with unfinished(url, "127.0.0.30") as honest:
            honest.settimeout(15)
            honest.sendall(b"x")
            assert answer_of(honest).startswith(b"HTTP/1.1 200")


def test_what_waits_for_an_answer_is_held_and_what_is_answered_is_not() -> None:
    release = threading.Event()

    async def slowly(request: Any) -> Any:
        import asyncio

        size = len(await request.body())
        await asyncio.to_thread(release.wait, 20)
        return as_json({"bytes": size})

    guard = Guard(router({}, {"/": slowly}), LIMITS)
    with listening(guard, bounded(30)) as url, contextlib.ExitStack() as stack:
        complete = [stack.enter_context(unfinished(url, "127.0.0.5")) for _ in range(5)]
        for wire in complete:
            wire.sendall(b"x")
        with unfinished(url, "127.0.0.5") as late:
            late.settimeout(10)
            assert problem(answer_of(late))[0] == 503
        release.set()
        for wire in complete:
            assert answer_of(wire).startswith(b"HTTP/1.1 200")
        with unfinished(url, "127.0.0.5") as again:
            again.sendall(b"x")
            assert answer_of(again).startswith(b"HTTP/1.1 200")
    assert (guard._held._all, dict(guard._held._of)) == (0, {})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 90)), max_size=60), st.integers(1, 80), st.floats(0.1, 1))
def test_no_order_of_arrivals_exceeds_a_bound_or_leaves_a_byte_counted(
    arrivals: list[tuple[str, int]], largest: int, share: float
) -> None:
    held, taken = HeldBytes(Limits(max_bytes=largest, held_bytes=200, client_share=share)), list[tuple[str, int]]()
    for host, count in arrivals:
        with contextlib.suppress(UnavailableError):
            held.take(host, count)
            taken.append((host, count))
        assert sum(size for _, size in taken) == held._all <= 200
        assert all(of <= max(int(200 * share), largest) for of in held._of.values())
    for host, count in taken:
        held.give_back(host, count)
    held.take("a", largest)  # one body that is allowed has room where nothing else is held


@pytest.mark.parametrize(("option", "own", "share"), [(0, 4, 0.5), (2, 2, 0.25), (8, 8, 1.0), (99, 8, 1.0)])
def test_a_client_address_may_be_given_more_connections_and_as_large_a_part_of_the_bytes(
    option: int, own: int, share: float
) -> None:
    options = arguments(["--bundle", "b", "--client-connections", str(option)])
    assert _limits(options, 8).client_share == share
    guard = Guard(router({}, {"/": _length}), Limits())
    with listening(guard, bounded(30, 8, options.client_connections)) as url, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(connect(url, "127.0.0.5")) for _ in range(8)]
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx")
        answered(wires, 8 - own)
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.sendall(b"x")
        assert sum(answer_of(wire).startswith(b"HTTP/1.1 200") for wire in wires) == own


@pytest.mark.parametrize("option", ["-1", "many"])
def test_a_number_of_connections_that_is_none_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--bundle", "b", "--client-connections", option])
    assert "is no number from 0 on" in capsys.readouterr().err
