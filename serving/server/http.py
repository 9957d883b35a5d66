"""Listening: uvicorn around the app, with patience for slow heads that ends, and a stop that answers what was asked."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from registry.errors import ModelyardError
from serving.bundle.records import read_frozen
from serving.bundle.seal import BundleIndex, check_sealed
from serving.canary.splitter import Splitter
from serving.server.app import Endpoint, build_app
from serving.server.logs import set_up_logs
from serving.server.middleware import Limits
from serving.server.options import CONNECTIONS
from serving.server.protocols.served import Served
from serving.workers.pool import Bounds, WorkerEngine
from serving.workers.spawn import Spawned

_DRAIN_S = 30


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request's head does not arrive in time: uvicorn itself would wait for ever."""

    head_seconds = 20.0
    patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there."""
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        """Another request on the same connection."""
        super().on_message_begin()
        if self.patience is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._calm()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._calm()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self.patience = self.loop.call_later(self.head_seconds, self.transport.close)

    def _calm(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None


def serve(told: argparse.Namespace, first: Spawned, listening: socket.socket) -> int:
    """Serve until told to stop; a bundle that is not what was sealed is one line and exit code 2."""
    set_up_logs(told.log_level)
    try:
        uvloop_run(_serve(told, first, listening))
    except ModelyardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    finally:
        first.wire.close()
        listening.close()
        first.kill()
    return 0


def uvloop_run(main: Any) -> None:
    """On uvloop, which the throughput comes from."""
    import uvloop

    uvloop.run(main)


def _check(told: argparse.Namespace) -> BundleIndex:
    """The bundle's index, when each of its files and, where that is asked for, its signature is right."""
    index = check_sealed(told.bundle, pulled=told.pulled)
    if told.keys:
        from serving.bundle.signature import check_signature

        check_signature(told.bundle, told.keys)
    return index


async def _serve(told: argparse.Namespace, first: Spawned, listening: socket.socket) -> None:
    engine = WorkerEngine(told.bundle, _bounds(told), first)
    checking = asyncio.create_task(asyncio.to_thread(_check, told))
    starting = asyncio.create_task(engine.start())
    try:
        index = await checking
        await starting
        labels = read_frozen(told.bundle / "labels.json", list[str])
        served = Served(index.model, index.version, index.digest, labels, engine.row)
        endpoint = Endpoint(served, engine, _limits(told), _fetch(told))
        splitter = Splitter(told.canary) if told.canary else None
        config = uvicorn.Config(
            build_app(endpoint, splitter.around) if splitter else build_app(endpoint),
            http=type("Protocol", (PatientProtocol,), {"head_seconds": told.patience}),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        host, port = listening.getsockname()[:2]
        where = {"url": f"http://{host}:{port}", **served.named(), "provider": engine.provider, "workers": told.workers}
        line = f"{index.model}/{index.version} answers at {where['url']}; Ctrl-C stops it"
        print(msgspec.json.encode(where).decode() if told.json else line, flush=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn sets its own, and raises the signal again at its end
        watching = [asyncio.create_task(splitter.watch())] if splitter else []
        try:
            await uvicorn.Server(config).serve([listening])
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await engine.stop()


def _bounds(told: argparse.Namespace) -> Bounds:
    return Bounds(
        workers=told.workers,
        threads=told.threads,
        device=told.device,
        max_batch=told.max_batch,
        max_wait_ms=told.max_wait_ms,
        queue=told.queue,
        seconds=told.timeout,
    )


def _limits(told: argparse.Namespace) -> Limits:
    return Limits(int(told.max_mb * 1e6), told.patience, api_key=os.environ.get("MODELYARD_API_KEY", ""))


def _fetch(told: argparse.Namespace) -> Any:
    if not told.fetch:
        return None
    from serving.server.fetch import Fetcher

    return Fetcher(int(told.max_mb * 1e6))
