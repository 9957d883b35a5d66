"""Traffic splitting inside the stable version's server: its address stays, and a share of the requests goes to the canary.

A client never sees a canary's failure: what it does not answer with 200 is answered here. What it did answer is also
predicted here, in the background, and the answers are compared. A canary is active while its order file exists.

A request that both versions refuse for a reason of the same kind counts for neither of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.errors import UnavailableError, shorten
from serving.bundle.records import read_frozen
from serving.canary.fault import is_answer, is_request_at_fault, reason_of
from serving.canary.labels import Answer, answers_of, same_answers
from serving.canary.tally import SplitOrder, TrafficCounter
from serving.inference.traffic import is_request, names_version, protocol_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

log = logging.getLogger("modelyard.serving")

_ASK_S = 10.0
_LOOK_S = 0.5
_SHADOWS = 8
_HOP = {b"host", b"connection", b"content-length", b"transfer-encoding", b"keep-alive", b"expect", b"te", b"upgrade"}
_OWN = {"content-length", "connection", "date", "x-request-id", "server-timing", "transfer-encoding"}
_OK = 200
_STABLE_S = 60.0


class _ActiveCanary:
    """An active canary."""

    def __init__(self, order: SplitOrder) -> None:
        """Open a client for it."""
        import httpx  # a server without a canary does not pay for this import

        self.order = order
        self.counter = TrafficCounter(order.bundle, order.share, Path(order.tally))
        self.client = httpx.AsyncClient(base_url=order.url, timeout=_ASK_S, trust_env=False)


class Splitter:
    """An ASGI app around the server's own."""

    def __init__(
        self,
        order: Path,
        status_of: Callable[[Exception], int],
        stable_s: float = _STABLE_S,
        canary_s: float = _ASK_S,
    ) -> None:
        """Nothing is split until `watch` reads an order. Within these seconds either version has answered, or has failed.

        `status_of`: the status that this version's guard makes of an error.
        """
        self._path, self._stable_s, self._canary_s, self._status_of = order, stable_s, canary_s, status_of
        self._problem = ""
        self._app: ASGIApp = _not_wrapped
        self._active: _ActiveCanary | None = None
        self._shadows = set[asyncio.Task[None]]()

    def around(self, app: ASGIApp) -> ASGIApp:
        """Wrap an app."""
        self._app = app
        return self

    async def watch(self) -> None:
        """Follow the order file and save the counts, until cancelled."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(_LOOK_S)
        finally:
            await self._switch_to(None)

    async def _look(self) -> None:
        """Follow the order, and save the counts; neither trouble ends the watch, nor the other."""
        try:
            order = read_frozen(self._path, SplitOrder) if self._path.exists() else None
            if order != (self._active.order if self._active else None):
                await self._switch_to(order)
            problem = ""
        except Exception as error:  # noqa: BLE001 a file that cannot be read now may be so later
            problem = shorten(error, 200)
        if problem and problem != self._problem:
            log.warning("the order to share traffic cannot be followed: %s; it stays as it is", problem)
        self._problem = problem
        if self._active:
            await asyncio.to_thread(self._active.counter.try_save)

    async def _switch_to(self, order: SplitOrder | None) -> None:
        before, self._active = self._active, None
        if before:
            if self._path.exists():
                before.counter.try_save()
            await before.client.aclose()
        if order:
            self._active = await asyncio.to_thread(_ActiveCanary, order)
            log.info("canary", extra={"fields": {"bundle": order.bundle, "share": order.share}})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with this version, or with the canary."""
        active = self._active
        if active is None or scope["type"] != "http" or not _may_split(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        if active.counter.next_is_canary():
            await self._ask_canary(active, scope, body, send)
            return

        def count(status: int, seconds: float) -> None:
            if reason_of(status) is None:
                active.counter.note("stable", seconds, failed=not is_answer(status))

        await self._ask_stable(scope, body, send, count)

    async def _ask_stable(self, scope: Scope, body: bytes, send: Send, count: Callable[[int, float], None]) -> None:
        """Answer with this version, and count the status and the seconds; its errors are the guard's to answer."""
        began, status = time.perf_counter(), 0

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        limit = asyncio.timeout(self._stable_s)
        try:
            async with limit:
                await self._app(scope, _replay(body), seen)
        except Exception as error:
            late = limit.expired()
            count(503 if late else status or self._status_of(error), time.perf_counter() - began)
            if late:
                why = f"had no answer in {self._stable_s:g} s"
                raise UnavailableError("server", why, "try again later") from None
            raise
        count(status, time.perf_counter() - began)

    async def _ask_canary(self, active: _ActiveCanary, scope: Scope, body: bytes, send: Send) -> None:
        began, answer = time.perf_counter(), None
        with contextlib.suppress(Exception):  # refused, broken off, unreadable, late, or its client was closed meanwhile
            async with asyncio.timeout(self._canary_s):
                answer = await active.client.send(_request(active.client, scope, body))
        status, seconds = answer.status_code if answer is not None else 0, _took(answer, time.perf_counter() - began)
        if answer is None or status != _OK:

            def count(stable: int, _: float) -> None:
                if not is_request_at_fault(status, stable):
                    active.counter.note("canary", seconds, failed=True)

            await self._ask_stable(scope, body, send, count)
            return
        active.counter.note("canary", seconds, failed=False)
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items() if name not in _OWN]
        headers.append((b"content-length", str(len(answer.content)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})
        if len(self._shadows) < _SHADOWS and (answers := answers_of(answer.content)) is not None:
            shadow = asyncio.create_task(self._shadow(active, scope, body, answers))
            self._shadows.add(shadow)
            shadow.add_done_callback(self._shadows.discard)

    async def _shadow(self, active: _ActiveCanary, scope: Scope, body: bytes, canary: list[Answer]) -> None:
        """Predict with this version, too, and compare the answers."""
        parts = list[bytes]()

        async def keep(message: Message) -> None:
            parts.append(message.get("body", b""))

        with contextlib.suppress(Exception):  # no room now, or no answer: nothing to compare with
            async with asyncio.timeout(self._stable_s):
                await self._app(dict(scope), _replay(body), keep)
            if (stable := answers_of(b"".join(parts))) is not None:
                active.counter.compare(same=same_answers(stable, canary))


async def _not_wrapped(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Before `around` was called."""


def _may_split(method: str, path: str) -> bool:
    """Whether any version may answer: a request that names no version."""
    return is_request(protocol_of(method, path)) and not names_version(path)


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None if the client has disconnected."""
    parts = list[bytes]()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes) -> Receive:
    """Makes a body that was read readable again."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _request(client: httpx.AsyncClient, scope: Scope, body: bytes) -> httpx.Request:
    """The same request, for the canary."""
    headers = [(name, value) for name, value in scope["headers"] if name not in _HOP]
    url = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
    return client.build_request("POST", url, content=body, headers=headers)


def _took(answer: httpx.Response | None, seconds: float) -> float:
    """How long the canary took by its own Server-Timing, which leaves the network out."""
    timing = answer.headers.get("server-timing", "") if answer is not None else ""
    with contextlib.suppress(ValueError):
        own = float(timing.removeprefix("total;dur=")) / 1e3
        return own if 0 <= own <= seconds else seconds
    return seconds
