"""A canary proxy before two endpoints whose provider cannot split traffic: POST /predict goes to one or the other.

A client never sees the canary's failure: what it does not answer, the stable version answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from registry.errors import InputError, ModelyardError
from serving.canary.tally import TrafficCounter
from serving.inference.outputs import most_likely
from serving.server.app import as_json
from serving.server.connections import bounded, connections_at_most
from serving.server.forms import file_of
from serving.server.images import image_bytes
from serving.server.middleware import Guard, Limits
from serving.server.protocols import plain
from serving.server.routing import router
from serving.targets.contract import Ask, LiveEndpoint

if TYPE_CHECKING:
    import socket

_SAVE_S = 0.5
_SHADOWS = 8


@dataclass(frozen=True)
class ProxiedEndpoint:
    """An endpoint and how to ask it."""

    live: LiveEndpoint
    ask: Ask


@dataclass
class CanaryProxy:
    """Both endpoints, and the counter."""

    stable: ProxiedEndpoint
    canary: ProxiedEndpoint
    counter: TrafficCounter
    _shadows: set[asyncio.Task[None]] = field(default_factory=set)

    async def health(self, _: Request) -> Response:
        """The versions behind it."""
        return as_json({"status": "ok", "stable": self.stable.live.version, "canary": self.canary.live.version})

    async def predict(self, request: Request) -> Response:
        """One picture."""
        picture = await _picture_of(request)
        if not self.counter.next_is_canary():
            return as_json(_answer(self.stable, await self._measured("stable", self.stable, picture)))
        try:
            probabilities = await self._measured("canary", self.canary, picture)
        except InputError:
            raise
        except ModelyardError:
            return as_json(_answer(self.stable, await asyncio.to_thread(self.stable.ask, picture)))
        if len(self._shadows) < _SHADOWS:
            shadow = asyncio.create_task(self._compare(picture, probabilities))
            self._shadows.add(shadow)
            shadow.add_done_callback(self._shadows.discard)
        return as_json(_answer(self.canary, probabilities))

    async def _measured(self, side: Any, endpoint: ProxiedEndpoint, picture: bytes) -> dict[str, float]:
        began, failed = time.perf_counter(), True
        try:
            probabilities = await asyncio.to_thread(endpoint.ask, picture)
        except InputError:
            failed = False
            raise
        else:
            failed = False
            return probabilities
        finally:
            self.counter.note(side, time.perf_counter() - began, failed=failed)

    async def _compare(self, picture: bytes, canary_answer: dict[str, float]) -> None:
        with contextlib.suppress(ModelyardError):
            stable_answer = await asyncio.to_thread(self.stable.ask, picture)
            self.counter.compare(same=most_likely(stable_answer) == most_likely(canary_answer))

    async def drain(self) -> None:
        """Wait for running comparisons."""
        await asyncio.gather(*self._shadows)

    async def save(self) -> None:
        """Save the counts, until cancelled."""
        try:
            while True:
                await asyncio.sleep(_SAVE_S)
                await asyncio.to_thread(self.counter.save)
        finally:
            self.counter.save()


def serve_proxy(proxy: CanaryProxy, listening: socket.socket, limits: Limits) -> None:
    """Serve until stopped."""
    app = Guard(router({"/health": proxy.health}, {"/predict": proxy.predict}), limits)
    http = bounded(limits.body_seconds, connections_at_most())
    config = uvicorn.Config(app, http=http, log_config=None, access_log=False, server_header=False, lifespan="off", ws="none")

    async def run() -> None:
        saving = asyncio.create_task(proxy.save())
        try:
            await uvicorn.Server(config).serve([listening])
            await proxy.drain()
        finally:
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)

    asyncio.run(run())


async def _picture_of(request: Request) -> bytes:
    """An image file's bytes: the body, a form's file, or base64 in JSON."""
    kind = plain.kind_of(request.headers.get("content-type", ""))
    if kind == "form":
        return await file_of(request)
    body = await request.body()
    if kind == "raw":
        return body
    texts, is_list = plain.texts_of(body)
    if is_list:
        raise InputError("images", "are not accepted by the canary proxy", 'send {"image": "<base64>"}')
    return await image_bytes(texts[0], None, "image")


def _answer(endpoint: ProxiedEndpoint, probabilities: dict[str, float]) -> dict[str, Any]:
    best, live = most_likely(probabilities), endpoint.live
    named = {"model": live.model, "version": live.version, "bundle": live.bundle}
    return {"label": best, "probability": probabilities.get(best, 0.0), "probabilities": probabilities, **named}
