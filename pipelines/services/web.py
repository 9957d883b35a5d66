"""A bundle's page on a loopback server of this process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator, Mapping
from pathlib import Path
from threading import Thread

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from registry.errors import BusyError

_HEADERS = {
    # With these two a page may use WebAssembly's threads; and nobody else's page may look into it.
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-cache",
}
_HOSTS = ("127.0.0.1", "localhost")
_TYPES = {
    ".webmanifest": "application/manifest+json",
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".md": "text/plain",
}


def page_app(files: Mapping[str, bytes | Path]) -> Starlette:
    """Files by their paths; nothing else of this machine can be asked for."""

    async def answer(request: Request) -> Response:
        # A page elsewhere whose name was made to point here must not read the pictures of the check.
        if request.url.hostname not in _HOSTS:
            return PlainTextResponse("this page is for this machine: open it at localhost\n", 421)
        path = request.path_params["path"] or "index.html"
        content = files.get(path)
        kind = _TYPES.get(Path(path).suffix)
        if content is None or (isinstance(content, Path) and not content.is_file()):  # a bundle may be removed meanwhile
            return PlainTextResponse(f"there is no {path}\n", 404, _HEADERS)
        if isinstance(content, bytes):
            return Response(content, headers=_HEADERS, media_type=kind or "application/json")
        return FileResponse(content, headers=_HEADERS, media_type=kind)

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET"])])


@contextlib.contextmanager
def page_server(files: Mapping[str, bytes | Path], port: int) -> Generator[str]:
    """Serve a page at loopback; yields its address. Port 0 is any free one. Raises BusyError for one that is taken."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen()  # whoever comes before the server runs waits for it
        except OSError as error:
            raise BusyError(f"port {port}", f"cannot be used ({error.strerror})", "give another one by --port") from error
        config = uvicorn.Config(page_app(files), log_level="error", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(timeout=5)
