"""The process that serves one bundle over HTTP.

python -m serving.start --bundle DIR [--host 127.0.0.1] [--port 0] …

The first worker is started before this process imports its own half, so that both halves load side by side.
Secrets come from the environment: MODELYARD_API_KEY.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from serving.spawn import cores, spawn


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """What the process was told."""
    parser = argparse.ArgumentParser(prog="serving.start", description="Serve one bundle over HTTP.")
    add = parser.add_argument
    add("--bundle", type=Path, required=True)
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0: any free one, which is printed")
    add("--workers", type=int, default=0, help="processes that predict; 0: one a core, and one in all with cuda")
    add("--threads", type=int, default=1, help="ONNX Runtime's threads in each worker")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--max-batch", type=int, default=8, help="pictures that a worker answers together, at most")
    add("--max-wait-ms", type=float, default=0.0, help="how long the first picture of a batch waits for others")
    add("--queue", type=int, default=64, help="pictures that may wait; more are refused with 429")
    add("--timeout", type=float, default=30.0, help="seconds within which a picture is answered")
    add("--max-mb", type=float, default=20.0, help="a longer body is refused with 413")
    add("--patience", type=float, default=20.0, help="seconds for a request's head to arrive, and again for its body")
    add("--fetch", action="store_true", help="accept https addresses of pictures on public hosts")
    add("--keys", type=Path, help="a folder of *.pub: the bundle has to be signed by one of them")
    add("--json", action="store_true", help="say where it answers as JSON")
    add("--log-level", choices=["debug", "info", "warning", "error"], default="warning")
    return parser.parse_args(given)


def main() -> int:
    """Check the bundle, load it, serve it until told to stop."""
    told = arguments()
    told.workers = told.workers or (1 if told.device == "cuda" else cores())
    first = spawn(told.bundle, told.threads, told.device)
    from serving.http import serve  # the long import, while the worker has its own

    return serve(told, first)


if __name__ == "__main__":
    sys.exit(main())
