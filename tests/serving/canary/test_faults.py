"""Whatever a canary or the stable version answers: what the client sees, and for whom it counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from registry.errors import InputError, IntegrityError, StorageError, UnavailableError
from serving.canary import splitter as splitter_module
from serving.canary.fault import is_answer, is_request_at_fault, reason_of
from serving.canary.splitter import Splitter
from serving.canary.tally import SplitOrder, Tally, TrafficCounter
from serving.server.middleware import Guard, Limits, status_of
from serving.server.protocols.served import UnsupportedError
from serving.workers.pool import OverloadedError

STATUSES = (200, 400, 401, 402, 403, 404, 405, 408, 410, 413, 415, 418, 422, 429, 431, 500, 502, 503, 504)
HANGS = "hangs"
BROKEN: dict[str, Exception | str] = {
    "refused connection": httpx.ConnectError("refused"),
    "cut short": httpx.RemoteProtocolError("cut"),
    "bad address": httpx.InvalidURL("bad"),
    "no json": ValueError("no json"),
    "closed": RuntimeError("client closed"),
    HANGS: HANGS,
}
OURS: dict[str, tuple[Exception | str, int]] = {
    "input": (InputError("image", "is none", "send one"), 422),
    "unsupported": (UnsupportedError("body", "is odd", "send one"), 415),
    "overloaded": (OverloadedError("server", "is full", "wait"), 429),
    "unavailable": (UnavailableError("server", "is away", "wait"), 503),
    "storage": (StorageError("disk", "is full", "free some"), 500),
    "integrity": (IntegrityError("bundle", "changed", "export it"), 500),
    "bug": (KeyError("odd"), 500),
    "permission": (PermissionError(13, "denied"), 500),
    HANGS: (HANGS, 503),
}


class Sides:
    """A splitter between two made-up versions: `canary` by status or exception, `stable` by status or exception."""

    def __init__(self, folder: Path, canary: Any, stable: Any) -> None:
        self.canary, self.stable = canary, stable
        self.splitter = Splitter(folder / "order.json", status_of, stable_s=0.05, canary_s=0.05)
        self.guard = Guard(self.splitter.around(self._answer_stable), Limits())
        order = SplitOrder("http://canary", "b", 1.0, str(folder / "tally.json"))
        self.splitter._active = splitter_module._ActiveCanary(order)
        self.splitter._active.client = httpx.AsyncClient(base_url=order.url, transport=httpx.MockTransport(self._answer_canary))

    async def _answer_canary(self, _: httpx.Request) -> httpx.Response:
        await raised(self.canary)
        return httpx.Response(self.canary, json={"label": "canary"})

    async def _answer_stable(self, scope, receive, send) -> None:
        await raised(self.stable)
        await Response(b'{"label": "stable"}', self.stable)(scope, receive, send)

    @property
    def tally(self) -> Tally:
        assert self.splitter._active is not None
        return self.splitter._active.counter.tally

    def ask(self) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.guard)
            async with httpx.AsyncClient(transport=transport, base_url="http://stable") as client:
                return await client.post("/predict", content=b"x")

        return asyncio.run(run())


async def raised(behaviour: Any) -> None:
    if behaviour == HANGS:
        await asyncio.sleep(60)
    if isinstance(behaviour, Exception):
        raise behaviour


def seen_as(stable: Any) -> int:
    """The status that the stable version's behaviour has for a client."""
    return stable if isinstance(stable, int) else next(status for known, status in OURS.values() if known is stable)


@pytest.mark.parametrize("canary", [*STATUSES, *BROKEN.values()], ids=str)
def test_the_client_of_an_endpoint_gets_the_stable_answer_and_the_canary_is_blamed_for_its_own(
    canary: Any, tmp_path: Path
) -> None:
    for stable in (*STATUSES, *(behaviour for behaviour, _ in OURS.values())):
        if HANGS in (canary, stable) and canary not in (200, 422, HANGS, 503):
            continue  # each side's silence beside each class of the other's answers is enough
        sides = Sides(tmp_path, canary, stable)
        answer = sides.ask()
        counted = (sides.tally.canary.requests, sides.tally.canary.failed)
        if canary == 200:
            assert (answer.status_code, counted) == (200, (1, 0))
            assert answer.json() == {"label": "canary"}
            continue
        expected = seen_as(stable)
        assert answer.status_code == expected, (canary, stable)
        theirs = isinstance(canary, int) and is_request_at_fault(canary, expected)
        assert counted == ((0, 0) if theirs else (1, 1)), (canary, stable)
        assert sides.tally.stable.requests == 0


@pytest.mark.parametrize("stable", [*STATUSES, *(behaviour for behaviour, _ in OURS.values())], ids=str)
def test_the_stable_side_fails_only_by_what_is_not_the_request_s_fault(stable: Any, tmp_path: Path) -> None:
    sides = Sides(tmp_path, 200, stable)
    assert sides.splitter._active is not None
    sides.splitter._active.counter = TrafficCounter("b", 0.0, tmp_path / "tally.json")
    status = sides.ask().status_code
    assert status == seen_as(stable)
    counted = (sides.tally.stable.requests, sides.tally.stable.failed)
    assert counted == ((1, 0) if is_answer(status) else (0, 0) if reason_of(status) else (1, 1)), stable


def test_no_key_bill_limit_or_server_error_is_ever_the_request_s_fault() -> None:
    for status in (0, 401, 402, 403, 407, 408, 425, 429, *range(500, 600)):
        assert not any(is_request_at_fault(status, other) or is_request_at_fault(other, status) for other in range(600))
    assert is_request_at_fault(415, 422)
    assert not is_request_at_fault(404, 422)


def test_a_damaged_order_is_said_and_the_watch_goes_on(make_watch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    order = tmp_path / "order.json"
    order.write_text("{")
    splitter = Splitter(order, status_of)
    with caplog.at_level(logging.WARNING):
        make_watch(splitter, lambda: "cannot be followed" in caplog.text)
    order.unlink()
    SplitOrder("http://127.0.0.1:9", "b", 0.5, str(tmp_path / "tally.json")).write(order)
    make_watch(splitter, (tmp_path / "tally.json").exists)


@pytest.fixture
def make_watch(monkeypatch):
    """Runs a splitter's watch until something holds."""
    monkeypatch.setattr("serving.canary.splitter._LOOK_S", 0.001)

    def watch(splitter: Splitter, until: Callable[[], bool]) -> None:
        async def run() -> None:
            watching = asyncio.create_task(splitter.watch())
            async with asyncio.timeout(10):
                while not until():
                    assert not watching.done()
                    await asyncio.sleep(0.002)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

        asyncio.run(run())

    return watch
