"""Requests and answers without a server: a double that is a function stands behind a socket, or is called a million times."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from serving.fakes.http import Cut

PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request. Names of headers are lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""

    @property
    def json(self) -> Any:
        """Its body as JSON, or nothing."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `cut`: the connection ends before it is complete; `stays_open`: it does not end for a while."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cut: bool = False
    stays_open: bool = False


Handle = Callable[[Ask], Answer]
CUT = Answer(200, cut=True)


def json_answer(document: object, status: int = 200) -> Answer:
    """An answer of JSON."""
    return Answer(status, json.dumps(document).encode(), {"content-type": "application/json"})


def refuse(status: int, detail: str, errors: list[str] | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """`application/problem+json`."""
    titles = {400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found"}
    titles |= {409: "Conflict", 413: "Content Too Large", 422: "Unprocessable Entity", 429: "Too Many Requests"}
    document = {"title": titles.get(status, "Broken"), "status": status, "detail": detail}
    document |= {"errors": errors} if errors else {}
    return Answer(status, json.dumps(document).encode(), {"content-type": PROBLEM, **(headers or {})})


def endpoint(handle: Handle, open_s: Callable[[], float] = lambda: 60.0) -> Callable[[Request], Awaitable[Response]]:
    """A handler for Starlette. `open_s`: for how long a stream stays open."""

    async def handler(request: Request) -> Response:
        ask = Ask(request.method, request.url.path, dict(request.query_params), dict(request.headers), await request.body())
        answer = await run_in_threadpool(handle, ask)
        if answer.stays_open:
            return StreamingResponse(_heartbeats(answer.body, open_s()), answer.status, dict(answer.headers))
        return Cut() if answer.cut else Response(answer.body, answer.status, dict(answer.headers))

    return handler


async def _heartbeats(body: bytes, open_s: float) -> AsyncIterator[bytes]:
    """A stream of events that goes on until its reader leaves, or its time is over."""
    ends = time.monotonic() + open_s
    yield body
    while time.monotonic() < ends:
        yield b": heartbeat\n\n"
        await asyncio.sleep(0.05)


def transport(handle: Handle) -> httpx.MockTransport:
    """For a client of httpx: no socket, no thread, no time."""

    def answered(request: httpx.Request) -> httpx.Response:
        query = dict(request.url.params) if request.url.query else {}
        ask = Ask(request.method, request.url.path, query, dict(request.headers), request.content)
        answer = handle(ask)
        if answer.cut:
            raise httpx.RemoteProtocolError("the connection was cut", request=request)
        return httpx.Response(answer.status, content=answer.body, headers=dict(answer.headers))

    return httpx.MockTransport(answered)
