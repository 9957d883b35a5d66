"""Listening: uvicorn around the app, with bounds on connections and a graceful stop."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from typing import Any

import msgspec

from registry.errors import ModelyardError, UnavailableError
from serving.bundle.records import read_frozen
from serving.bundle.seal import BundleIndex, check_sealed
from serving.canary.splitter import Splitter
from serving.server.app import Endpoint, build_app
from serving.server.connections import bounded, connections_at_most, of_one_client, server_of
from serving.server.exposure import key_of_environment
from serving.server.logs import set_up_logs
from serving.server.middleware import Limits, status_of
from serving.server.options import DRAIN_S
from serving.server.protocols.served import Served
from serving.workers.pool import Bounds, WorkerPool
from serving.workers.spawn import WorkerProcess

_SPLIT_SPARE_S = 30.0
"""Beyond the limit on a prediction: for what a request downloads, and for reading pictures."""


def serve(options: argparse.Namespace, first: WorkerProcess, listening: socket.socket) -> int:
    """Serve until stopped; a bundle that does not match its seal is one line and exit code 2."""
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
    """Run on uvloop, for its throughput."""
    import uvloop

    uvloop.run(main)


def _check(options: argparse.Namespace) -> BundleIndex:
    """The bundle's index, after checking its files and, with --keys, its signature."""
    try:
        index = check_sealed(options.bundle, pulled=options.pulled)
        if options.keys:
            from serving.bundle.signature import check_signature

            check_signature(options.bundle, options.keys)
    except OSError as error:
        why = f"cannot be read ({error.strerror or type(error).__name__})"
        raise UnavailableError(error.filename or options.bundle, why, "let the user that serves read it") from error
    return index


async def _serve(options: argparse.Namespace, first: WorkerProcess, listening: socket.socket) -> None:
    pool = WorkerPool(options.bundle, _bounds(options), first)
    most = connections_at_most()
    checking = asyncio.create_task(asyncio.to_thread(_check, options))
    starting = asyncio.create_task(pool.start())
    try:
        index = await checking
        await starting
        labels = read_frozen(options.bundle / "labels.json", list[str])
        served = Served(index.model, index.version, index.digest, labels, pool.row)
        endpoint = Endpoint(served, pool, _limits(options, most), _fetch(options))
        splitter = Splitter(options.canary, status_of, options.timeout + _SPLIT_SPARE_S) if options.canary else None
        app = build_app(endpoint, splitter.around) if splitter else build_app(endpoint)
        server = server_of(app, bounded(options.patience, most, options.client_connections), DRAIN_S)
        host, port = listening.getsockname()[:2]
        where = {"url": f"http://{host}:{port}", **served.named(), "provider": pool.provider, "workers": options.workers}
        line = f"{index.model}/{index.version} answers at {where['url']}; Ctrl-C stops it"
        print(msgspec.json.encode(where).decode() if options.json else line, flush=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn installs its own, and raises it again at its end
        watching = [asyncio.create_task(splitter.watch())] if splitter else []
        try:
            await server.serve([listening])
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


def _limits(options: argparse.Namespace, most: int) -> Limits:
    """A client that may have so many of the server's connections may have as large a part of the bytes it holds."""
    share = of_one_client(most, options.client_connections) / most
    return Limits(int(options.max_mb * 1e6), options.patience, api_key=key_of_environment(), client_share=share)


def _fetch(options: argparse.Namespace) -> Any:
    if not options.fetch:
        return None
    from serving.server.fetch import Fetcher

    return Fetcher(int(options.max_mb * 1e6))
