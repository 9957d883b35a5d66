"""What every request goes through: an id, the API key, limits on bytes and seconds, one error format, a log line."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.errors import InputError, ModelyardError, UnavailableError
from serving.inference.traffic import protocol_of
from serving.server.metrics import Metrics
from serving.server.protocols.served import UnsupportedError
from serving.server.routing import NoSuchAddressError, WrongMethodError
from serving.workers.pool import OverloadedError

log = logging.getLogger("modelyard.serving")

MAX_BYTES = 20_000_000
"""A larger body is refused while it arrives."""
HELD_BYTES = 512_000_000
"""Bytes of bodies of all requests that are not answered yet; beyond, the request whose bytes arrive next is refused."""

_OPEN = {"/", "/health", "/ping", "/v2/health/live", "/v2/health/ready"}
_GONE = 499  # nginx's status for a client that closed the connection
_ID = re.compile(r"[\w.:-]{1,128}")


@dataclass(frozen=True)
class Limits:
    """Limits of a request, and on all together. An empty `api_key` means that none is required.

    `held_bytes` are those of all bodies at once, and `client_share` the part of them that one client's may be.
    """

    max_bytes: int = MAX_BYTES
    body_seconds: float = 20.0
    api_key: str = field(default="", repr=False)
    held_bytes: int = HELD_BYTES
    client_share: float = 0.5


class HeldBytes:
    """The bytes of bodies that a server holds, from their arrival until their request is answered: each client's, and all."""

    def __init__(self, limits: Limits) -> None:
        """Nothing is held. Whatever the bounds, one body of the size that is allowed has room."""
        self._most = max(limits.held_bytes, limits.max_bytes)
        self._most_of_one = max(int(limits.held_bytes * limits.client_share), limits.max_bytes)
        self._all, self._of = 0, Counter[str]()

    def take(self, host: str, count: int) -> None:
        """Count bytes that arrived. Raises UnavailableError where there are too many, and counts none of these."""
        if count and (self._all + count > self._most or self._of[host] + count > self._most_of_one):
            raise UnavailableError("server", "holds too many bytes of requests at work", "try again in a second")
        self._all += count
        self._of[host] += count

    def give_back(self, host: str, count: int) -> None:
        """A request whose bytes were counted is answered, or refused."""
        self._all -= count
        self._of[host] -= count
        if self._of[host] <= 0:
            del self._of[host]


class _NoKeyError(ModelyardError):
    """Answered with 401."""


class _TooLargeError(ModelyardError):
    """Answered with 413."""


class _TooSlowError(ModelyardError):
    """Answered with 408."""


_STATUS: tuple[tuple[type[ModelyardError], int], ...] = (
    (_NoKeyError, 401),
    (NoSuchAddressError, 404),
    (WrongMethodError, 405),
    (_TooLargeError, 413),
    (_TooSlowError, 408),
    (UnsupportedError, 415),
    (InputError, 422),
    (OverloadedError, 429),
    (UnavailableError, 503),
)


@dataclass
class _Call:
    """One request in progress."""

    scope: Scope
    id: str
    status: int = 0
    received: int = 0
    held: int = 0
    began: float = field(default_factory=time.perf_counter)

    @property
    def host(self) -> str:
        """The client's address."""
        client = self.scope.get("client")
        return client[0] if client else ""


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics | None = None) -> None:
        """Guard `app`."""
        self._app, self._limits, self._metrics = app, limits, metrics
        self._key, self._held = limits.api_key.encode(), HeldBytes(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        call = _Call(scope, given if _ID.fullmatch(given) else secrets.token_hex(8))
        scope["request_id"] = call.id
        deadline = asyncio.get_running_loop().time() + self._limits.body_seconds

        async def bounded() -> Message:
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise _TooSlowError("request", f"took longer than {self._limits.body_seconds:g} s", "send it faster") from None
            arrived = len(message.get("body", b""))
            call.received += arrived
            self._check_size(call.received)
            self._held.take(call.host, arrived)
            call.held += arrived
            return message

        async def record_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                took = f"total;dur={(time.perf_counter() - call.began) * 1e3:.2f}"
                own = [(b"x-request-id", call.id.encode()), (b"server-timing", took.encode())]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        try:
            self._admit(scope["path"], headers)
            await self._app(scope, bounded, record_status)
        except ModelyardError as error:
            await _refuse(record_status, call, *_status_of(error))
        except asyncio.CancelledError:  # a graceful stop took too long; uvicorn itself would answer in plain text
            await _refuse(record_status, call, 503, "server: is stopping; ask another server", [(b"retry-after", b"1")])
            raise
        except ClientDisconnect:
            call.status = call.status or _GONE
        except Exception:
            log.exception("a request failed", extra={"fields": {"id": call.id, "path": scope["path"]}})
            await _refuse(record_status, call, 500, f"the server failed; see its log under {call.id}", [])
        finally:
            self._held.give_back(call.host, call.held)
            self._record(call)

    def _admit(self, path: str, headers: dict[bytes, bytes]) -> None:
        """Check the API key and the declared length."""
        if self._key and path not in _OPEN:
            scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
            shown = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
            if not hmac.compare_digest(shown, self._key):
                raise _NoKeyError("API key", "is missing or wrong", "send Authorization: Bearer KEY")
        length = headers.get(b"content-length", b"")
        if length.isdigit():
            self._check_size(int(length))

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise _TooLargeError("body", f"is larger than {self._limits.max_bytes:,} bytes", "send a smaller one")

    def _record(self, call: _Call) -> None:
        seconds, path = time.perf_counter() - call.began, call.scope["path"]
        if self._metrics is not None:
            self._metrics.count_request(protocol_of(call.scope["method"], path), call.status, seconds)
        if log.isEnabledFor(logging.INFO):
            fields = {"id": call.id, "method": call.scope["method"], "path": path, "status": call.status}
            log.info("request", extra={"fields": fields | {"ms": round(seconds * 1e3, 2), "bytes": call.received}})


def status_of(error: Exception) -> int:
    """The status with which an error of the app behind the guard is answered."""
    return next((code for kind, code in _STATUS if isinstance(error, kind)), 500)


def _status_of(error: ModelyardError) -> tuple[int, str, list[tuple[bytes, bytes]]]:
    status = status_of(error)
    headers = [(b"retry-after", b"1")] if status in {429, 503} else []
    headers += [(b"www-authenticate", b"Bearer")] if isinstance(error, _NoKeyError) else []
    headers += [(b"allow", error.allowed.encode())] if isinstance(error, WrongMethodError) else []
    return status, str(error), headers


async def _refuse(send: Send, call: _Call, status: int, why: str, headers: list[tuple[bytes, bytes]]) -> None:
    """Send an error as JSON; nothing if a response has begun."""
    if call.status:
        return
    body = msgspec.json.encode({"error": why, "request_id": call.id})
    answer_headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": answer_headers})
    await send({"type": "http.response.body", "body": body})
