"""HTTP for all doubles: problems as JSON, truncated answers, a server in a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from registry.errors import UnavailableError


def problem(
    status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, errors: Sequence[str] = ()
) -> Response:
    """`application/problem+json`."""
    body = {"title": title, "status": status, "detail": detail} | ({"errors": list(errors)} if errors else {})
    return JSONResponse(body, status, dict(headers or {}), media_type="application/problem+json")


class Cut(Response):
    """An answer that ends after its head."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Declare more bytes than are sent; the server closes the connection."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100000")]})


@contextmanager
def listening(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Serve an app on loopback from a thread of its own; its address. Raises UnavailableError for a port that is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise UnavailableError(f"port {port}", f"cannot be used: {error.strerror}", "choose another --port") from error
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
