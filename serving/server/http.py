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
from serving.workers.pool import Bounds, WorkerPool
from serving.workers.spawn import WorkerProcess

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


def serve(options: argparse.Namespace, first: WorkerProcess, listening: socket.socket) -> int:
    """Serve until told to stop; a bundle that is not what was sealed is one line and exit code 2."""
    set_up_logs(options.log_level)
    try:
        uvloop_run(_serve(options, first, listening))
    except ModelyardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    finally:
        first.socket.close()
        listening.close()
        first.kill()
    return 0


def uvloop_run(main: Any) -> None:
    """On uvloop, which the throughput comes from."""
    import uvloop

    uvloop.run(main)


def _check(options: argparse.Namespace) -> BundleIndex:
    """The bundle's index, when each of its files and, where that is asked for, its signature is right."""
    index = check_sealed(options.bundle, pulled=options.pulled)
    if options.keys:
        from serving.bundle.signature import check_signature

        check_signature(options.bundle, options.keys)
    return index


async def _serve(options: argparse.Namespace, first: WorkerProcess, listening: socket.socket) -> None:
    pool = WorkerPool(options.bundle, _bounds(options), first)
    checking = asyncio.create_task(asyncio.to_thread(_check, options))
    starting = asyncio.create_task(pool.start())
    try:
        index = await checking
        await starting
        labels = read_frozen(options.bundle / "labels.json", list[str])
        served = Served(index.model, index.version, index.digest, labels, pool.row)
        endpoint = Endpoint(served, pool, _limits(options), _fetch(options))
        splitter = Splitter(options.canary) if options.canary else None
        config = uvicorn.Config(
            build_app(endpoint, splitter.around) if splitter else build_app(endpoint),
            http=type("Protocol", (PatientProtocol,), {"head_seconds": options.patience}),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        host, port = listening.getsockname()[:2]
        where = {"url": f"http://{host}:{port}", **served.named(), "provider": pool.provider, "workers": options.workers}
        line = f"{index.model}/{index.version} answers at {where['url']}; Ctrl-C stops it"
        print(msgspec.json.encode(where).decode() if options.json else line, flush=True)
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
        await pool.stop()


def _bounds(options: argparse.Namespace) -> Bounds:
    return Bounds(
        workers=options.workers,
        threads=options.threads,
        device=options.device,
        max_batch=options.max_batch,
        max_wait_ms=options.max_wait_ms,
        queue=options.queue,
        seconds=options.timeout,
    )


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(int(options.max_mb * 1e6), options.patience, api_key=os.environ.get("MODELYARD_API_KEY", ""))


def _fetch(options: argparse.Namespace) -> Any:
    if not options.fetch:
        return None
    from serving.server.fetch import Fetcher

    return Fetcher(int(options.max_mb * 1e6))
