"""Traffic splitting inside the stable version's server: its address stays, and a share of the requests goes to the canary.

A client never sees a canary's failure: what it does not answer with 200 is answered here. What it did answer is also
predicted here, in the background, and the labels are compared. A canary is active while its order file exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.errors import ModelyardError, UnavailableError
from serving.bundle.records import read_frozen
from serving.canary.labels import labels_of
from serving.canary.tally import SplitOrder, TrafficCounter
from serving.workers.pool import OverloadedError

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("modelyard.serving")

_ASK_S = 10.0
_LOOK_S = 0.5
_SHADOWS = 8
_PATHS = ("/predict", "/invocations")
_HOP = {b"host", b"connection", b"content-length", b"transfer-encoding", b"keep-alive", b"expect", b"te", b"upgrade"}
_OWN = {"content-length", "connection", "date", "x-request-id", "server-timing", "transfer-encoding"}
_OK = 200
_BAD_REQUEST, _SERVER_ERROR = 400, 500


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

    def __init__(self, order: Path) -> None:
        """Nothing is split until `watch` reads an order."""
        self._path = order
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
                with contextlib.suppress(ModelyardError, OSError):  # a file that cannot be read now may be so later
                    await self._refresh()
                await asyncio.sleep(_LOOK_S)
        finally:
            await self._switch_to(None)

    async def _refresh(self) -> None:
        order = read_frozen(self._path, SplitOrder) if self._path.exists() else None
        if order != (self._active.order if self._active else None):
            await self._switch_to(order)
        if self._active:
            await asyncio.to_thread(self._active.counter.save)

    async def _switch_to(self, order: SplitOrder | None) -> None:
        before, self._active = self._active, None
        if before:
            with contextlib.suppress(ModelyardError, OSError):
                if self._path.exists():
                    before.counter.save()
            await before.client.aclose()
        if order:
            self._active = await asyncio.to_thread(_ActiveCanary, order)
            log.info("canary", extra={"fields": {"bundle": order.bundle, "share": order.share}})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with this version, or with the canary."""
        active = self._active
        if active is None or scope["type"] != "http" or scope["method"] != "POST" or not _may_split(scope["path"]):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        if active.counter.next_is_canary():
            await self._ask_canary(active, scope, body, send)
        else:
            await self._ask_stable(active, scope, body, send)

    async def _ask_stable(self, active: _ActiveCanary, scope: Scope, body: bytes, send: Send) -> None:
        began, failed = time.perf_counter(), True
        try:
            await self._app(scope, _replay(body), send)
            failed = False
        except ModelyardError as error:
            failed = isinstance(error, (OverloadedError, UnavailableError))
            raise
        finally:
            active.counter.note("stable", time.perf_counter() - began, failed=failed)

    async def _ask_canary(self, active: _ActiveCanary, scope: Scope, body: bytes, send: Send) -> None:
        import httpx

        began = time.perf_counter()
        try:
            answer = await active.client.send(_request(active.client, scope, body))
            status = answer.status_code
        except (OSError, RuntimeError, httpx.HTTPError):  # RuntimeError: its client was closed meanwhile
            answer, status = None, 0
        seconds = _took(answer, time.perf_counter() - began)
        if answer is None or status != _OK:
            await self._fall_back(active, scope, body, send, (status, seconds))
            return
        active.counter.note("canary", seconds, failed=False)
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items() if name not in _OWN]
        headers.append((b"content-length", str(len(answer.content)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})
        if len(self._shadows) < _SHADOWS and (labels := labels_of(answer.content)) is not None:
            shadow = asyncio.create_task(self._shadow(active, scope, body, labels))
            self._shadows.add(shadow)
            shadow.add_done_callback(self._shadows.discard)

    async def _fall_back(self, active: _ActiveCanary, scope: Scope, body: bytes, send: Send, canary: tuple[int, float]) -> None:
        """The canary did not answer, so this version does. If this version refuses as well, the request was at fault."""
        status, seconds = canary
        at_fault = False
        try:
            await self._app(scope, _replay(body), send)
        except ModelyardError as error:
            server = isinstance(error, (OverloadedError, UnavailableError))
            at_fault = not server and _BAD_REQUEST <= status < _SERVER_ERROR
            raise
        finally:
            active.counter.note("canary", seconds, failed=not at_fault)

    async def _shadow(self, active: _ActiveCanary, scope: Scope, body: bytes, canary_labels: list[str]) -> None:
        """Predict with this version, too, and compare the labels."""
        parts = list[bytes]()

        async def keep(message: Message) -> None:
            parts.append(message.get("body", b""))

        with contextlib.suppress(ModelyardError):  # no room now: nothing to compare with
            await self._app(dict(scope), _replay(body), keep)
            if (stable_labels := labels_of(b"".join(parts))) is not None:
                active.counter.compare(same=stable_labels == canary_labels)


async def _not_wrapped(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Before `around` was called."""


def _may_split(path: str) -> bool:
    """Whether any version may answer this request: not if it names a version."""
    return path in _PATHS or (path.startswith("/v2/models/") and path.endswith("/infer") and "/versions/" not in path)


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
    timing = answer.headers.get("server-timing", "") if answer else ""
    with contextlib.suppress(ValueError):
        return float(timing.removeprefix("total;dur=")) / 1e3
    return seconds
