"""A canary proxy before two endpoints whose provider cannot split traffic: POST /predict goes to one or the other.

A client never sees the canary's failure: what it does not answer, the stable version answers. A picture that both refuse
counts for neither. Either has answered within a time limit, or has failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from registry.errors import InputError, ModelyardError, UnavailableError, shorten
from serving.canary.tally import TrafficCounter
from serving.inference.outputs import most_likely
from serving.server.app import as_json
from serving.server.connections import bounded, connections_at_most, server_of
from serving.server.forms import file_of
from serving.server.images import image_bytes
from serving.server.middleware import Guard, Limits
from serving.server.protocols import plain
from serving.server.routing import router
from serving.targets.contract import Ask, LiveEndpoint
from serving.workers.pool import OverloadedError

if TYPE_CHECKING:
    import socket

CANARY_S = 60.0
"""How long the canary may take for an answer; after that the stable version answers."""

STABLE_S = 300.0
"""How long the stable version may take: it may have been asleep, and nobody answers instead of it."""

_SAVE_S = 0.5
_SHADOWS = 8
_STABLE_THREADS = 64
_CANARY_THREADS = 16


@dataclass(frozen=True)
class ProxiedEndpoint:
    """An endpoint, how to ask it, and the seconds within which it has answered or has failed."""

    live: LiveEndpoint
    ask: Ask
    seconds: float = CANARY_S


class _Side:
    """The threads that ask one endpoint: one that hangs keeps its own, and takes none of the other's."""

    def __init__(self, threads: int, name: str) -> None:
        self._most, self._asking = threads, 0
        self._threads = ThreadPoolExecutor(threads, name)

    def begin(self, endpoint: ProxiedEndpoint, picture: bytes) -> asyncio.Future[dict[str, float]]:
        """An endpoint's answer to come. A thread stays busy until it gives up itself; when all are, OverloadedError."""
        if self._asking >= self._most:
            subject = f"endpoint {endpoint.live.name}"
            raise OverloadedError(subject, f"{self._most} requests wait already", "try again in a second")
        self._asking += 1
        answer = asyncio.get_running_loop().run_in_executor(self._threads, endpoint.ask, picture)
        answer.add_done_callback(self._is_free)
        return answer

    def stop(self) -> None:
        """Begin no more requests."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_free(self, answer: asyncio.Future[dict[str, float]]) -> None:
        """A thread gave its answer, wanted still or not."""
        self._asking -= 1
        if not answer.cancelled():
            answer.exception()  # taken note of: nobody may wait for it any more


@dataclass
class CanaryProxy:
    """Both endpoints, and the counter."""

    stable: ProxiedEndpoint
    canary: ProxiedEndpoint
    counter: TrafficCounter
    _shadows: set[asyncio.Task[None]] = field(default_factory=set)
    _of_stable: _Side = field(default_factory=lambda: _Side(_STABLE_THREADS, "stable"))
    _of_canary: _Side = field(default_factory=lambda: _Side(_CANARY_THREADS, "canary"))

    async def health(self, _: Request) -> Response:
        """The versions behind it, and what keeps their counts from being saved."""
        versions = {"stable": self.stable.live.version, "canary": self.canary.live.version}
        return as_json({"status": "ok", **versions, "counting": self.counter.problem or "ok"})

    async def predict(self, request: Request) -> Response:
        """One picture."""
        picture = await _picture_of(request)
        if not self.counter.next_is_canary():
            return as_json(_answer(self.stable, await self._by_stable(picture)))
        began = time.perf_counter()
        try:
            probabilities = await self._ask(self.canary, picture)
        except ModelyardError as refused:
            return as_json(_answer(self.stable, await self._instead(picture, refused, time.perf_counter() - began)))
        self.counter.note("canary", time.perf_counter() - began, failed=False)
        if len(self._shadows) < _SHADOWS:
            shadow = asyncio.create_task(self._compare(picture, probabilities))
            self._shadows.add(shadow)
            shadow.add_done_callback(self._shadows.discard)
        return as_json(_answer(self.canary, probabilities))

    async def _by_stable(self, picture: bytes) -> dict[str, float]:
        """The stable version's answer, counted. A picture that it refuses says nothing about it."""
        began = time.perf_counter()
        try:
            probabilities = await self._ask(self.stable, picture)
        except ModelyardError as error:
            if not isinstance(error, (InputError, OverloadedError)):
                self.counter.note("stable", time.perf_counter() - began, failed=True)
            raise
        self.counter.note("stable", time.perf_counter() - began, failed=False)
        return probabilities

    async def _instead(self, picture: bytes, refused: ModelyardError, seconds: float) -> dict[str, float]:
        """The stable version's answer where the canary has none. If it refuses the picture as well, that was at fault."""
        failed = not isinstance(refused, OverloadedError)  # that is this proxy's own limit
        try:
            return await self._ask(self.stable, picture)
        except InputError:
            failed = failed and not isinstance(refused, InputError)
            raise
        finally:
            if failed:
                self.counter.note("canary", seconds, failed=True)

    async def _ask(self, endpoint: ProxiedEndpoint, picture: bytes) -> dict[str, float]:
        """An endpoint's answer. Raises InputError for a picture that it refuses, UnavailableError for everything else."""
        subject = f"endpoint {endpoint.live.name}"
        side = self._of_canary if endpoint is self.canary else self._of_stable
        answer = side.begin(endpoint, picture)
        try:
            async with asyncio.timeout(endpoint.seconds):
                return await asyncio.shield(answer)
        except TimeoutError as error:
            why = f"had no answer in {endpoint.seconds:g} s"
            raise UnavailableError(subject, why, "see `modelyard endpoint logs`") from error
        except ModelyardError:
            raise
        except Exception as error:
            why = f"gave no valid answer ({shorten(f'{type(error).__name__}: {error}', 160)})"
            raise UnavailableError(subject, why, "see `modelyard endpoint logs`") from error

    async def _compare(self, picture: bytes, canary_answer: dict[str, float]) -> None:
        with contextlib.suppress(ModelyardError):
            stable_answer = await self._ask(self.stable, picture)
            self.counter.compare(same=most_likely(stable_answer) == most_likely(canary_answer))

    async def drain(self) -> None:
        """Wait for running comparisons."""
        await asyncio.gather(*self._shadows, return_exceptions=True)

    def stop(self) -> None:
        """Begin no more requests."""
        self._of_stable.stop()
        self._of_canary.stop()

    async def save(self) -> None:
        """Save the counts, until cancelled; a disk that is full now may not be later."""
        try:
            while True:
                await asyncio.sleep(_SAVE_S)
                await asyncio.to_thread(self.counter.try_save)
        finally:
            self.counter.try_save()


def serve_proxy(proxy: CanaryProxy, listening: socket.socket, limits: Limits) -> None:
    """Serve until stopped."""
    app = Guard(router({"/health": proxy.health}, {"/predict": proxy.predict}), limits)
    server = server_of(app, bounded(limits.body_seconds, connections_at_most()))

    async def run() -> None:
        saving = asyncio.create_task(proxy.save())
        try:
            await server.serve([listening])
            await proxy.drain()
        finally:
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)
            proxy.stop()

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
