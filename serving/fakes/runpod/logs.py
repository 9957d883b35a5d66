"""Streams of log lines as server-sent events: what there is, and then they stay open, with a heartbeat now and then."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from serving.fakes.clock import stamp
from serving.fakes.runpod.common import invalid

_MOST, _TAIL = 5000, 100
_HEARTBEAT_S = 0.05


def stream_of(log: Sequence[tuple[float, str]], request: Request, open_s: float) -> Response:
    """A log from where a request wants it; 422 where that is not as published. It ends after `open_s`, or with its reader."""
    events = backfill(log, request.query_params, request.headers.get("Last-Event-ID"))
    if isinstance(events, str):
        return invalid([events])
    return StreamingResponse(staying_open("".join(events), open_s), media_type="text/event-stream")


def backfill(
    log: Sequence[tuple[float, str]], query: Mapping[str, str], last: str | None = None, source: str = "container"
) -> list[str] | str:
    """The events that a query asks for, oldest first, or what is wrong with it. The header beats `since` beats `tail`.

    All lines of the log are of one `source`.
    """
    tail = query.get("tail", str(_TAIL))
    if not tail.isdecimal() or int(tail) > _MOST:
        return f"$.tail: must be from 0 to {_MOST}"
    if query.get("source", "container") not in {"container", "system"}:
        return "$.source: value must be one of 'container', 'system'"
    since = last or query.get("since")
    try:
        after = datetime.fromisoformat(since).timestamp() if since else None
    except ValueError:
        return "$.since: is not a time"
    rows = [row for row in log if row[0] > after] if after is not None else list(log[-int(tail) :] if int(tail) else [])
    if query.get("source", source) != source:
        rows = []
    return [_event(at, line, source) for at, line in rows]


def _event(at: float, line: str, source: str) -> str:
    return f"id: {stamp(at)}\ndata: {json.dumps({'source': source, 'line': line, 'ts': stamp(at)})}\n\n"


async def staying_open(events: str, open_s: float) -> AsyncIterator[str]:
    """What there is, and then heartbeats."""
    ends = time.monotonic() + open_s
    yield events or ": heartbeat\n\n"
    while time.monotonic() < ends:
        await asyncio.sleep(_HEARTBEAT_S)
        yield ": heartbeat\n\n"
