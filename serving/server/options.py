"""The server's command-line options, and binding its address before anything else."""

from __future__ import annotations

import argparse
import errno
import os
import socket
from pathlib import Path

from registry.errors import InputError
from serving.server.exposure import Exposure

DRAIN_S = 30
"""For how long a server that is told to end answers what it has begun; whoever ends it waits longer before it kills."""
BACKLOG = 1024
"""Connections that wait to be accepted."""


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(prog="serving.start", description="Serve one bundle over HTTP.")
    add = parser.add_argument
    add("--bundle", type=Path, required=True)
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0: any free one, which is printed")
    add("--fd", type=int, help="a socket that listens already, handed over by the process before")
    add("--workers", type=int, default=0, help="processes that predict; 0: one a core, and one in all with cuda")
    add("--threads", type=int, default=1, help="ONNX Runtime's threads in each worker")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--max-batch", type=int, default=8, help="pictures that a worker answers together, at most")
    add("--max-wait-ms", type=float, default=0.0, help="how long the first picture of a batch waits for others")
    add("--queue", type=int, default=64, help="pictures that may wait; more are refused with 429")
    add("--timeout", type=float, default=30.0, help="seconds within which a picture is answered")
    add("--max-mb", type=float, default=20.0, help="a longer body is refused with 413")
    add("--patience", type=float, default=20.0, help="seconds for a request's head to arrive, and again for its body")
    add("--client-connections", type=_count, default=0, help="connections from one address, such as a proxy's; 0: half of all")
    add("--fetch", action="store_true", help="accept https addresses of pictures on public hosts")
    add("--no-key", action="store_true", help="answer other machines without MODELYARD_API_KEY: what is in front asks")
    add("--keys", type=Path, help="a folder of *.pub: the bundle has to be signed by one of them")
    add("--pulled", action="store_true", help="the bundle was fetched: files that serving does not read may be absent")
    add("--canary", type=Path, help="a file in which an order to share the traffic with another server may lie")
    add("--json", action="store_true", help="say where it answers as JSON")
    add("--log-level", choices=["debug", "info", "warning", "error"], default="warning")
    return parser.parse_args(given)


def _count(text: str) -> int:
    """A number from 0 on. Raises ArgumentTypeError for any other text."""
    try:
        count = int(text)
    except ValueError:
        count = -1
    if count < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return count


def listen(host: str, port: int, exposure: Exposure) -> socket.socket:
    """Bind the address. From here on no connection is refused: early requests wait until the model is loaded.

    Raises InputError if the address cannot be taken, or is reached by other machines and nothing protects it.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        exposure.check(host, listening.getsockname()[0])
    except (OSError, UnicodeError, OverflowError) as error:
        listening.close()
        raise _unusable(host, port, error) from error
    except InputError:
        listening.close()
        raise
    listening.listen(BACKLOG)
    return listening


def adopt(fd: int, exposure: Exposure) -> socket.socket:
    """Take a listening socket over from the process that became this one.

    Raises InputError if it is none, or is reached by other machines and nothing protects it.
    """
    try:
        listening = socket.socket(fileno=fd)
        host = listening.getsockname()[0]
    except (OSError, OverflowError) as error:
        raise InputError(f"--fd {fd}", "is no socket", "leave --fd out") from error
    try:
        exposure.check(host, host)
    except InputError:
        listening.close()
        raise
    listening.set_inheritable(False)
    return listening


def _unusable(host: str, port: int, error: Exception) -> InputError:
    """Why an address cannot be taken; a permission is missing only for ports that the system keeps for itself."""
    if not isinstance(error, OSError):
        return InputError(f"{host}:{port}", "is no address", "choose another --host or --port")
    remedies = {errno.EACCES: "choose a --port from 1024 on", errno.EADDRINUSE: "choose another --port"}
    remedy, why = remedies.get(error.errno or 0, "choose another --host"), error.strerror or type(error).__name__
    return InputError(f"{host}:{port}", f"cannot be listened at ({why})", remedy)


def cores() -> int:
    """CPU cores that this process may use: its affinity, and its container's quota."""
    own = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return own if quota == "max" else max(1, min(own, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return own
