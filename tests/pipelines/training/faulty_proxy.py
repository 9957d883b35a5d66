"""A proxy in front of an HTTP server that fails at the n-th request, or from it on, in one of three ways."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

WAYS = ("refused", "lost", "error")
"""Before it reached the server; after it did, so that only the answer is lost; an answer of a gateway that reaches nobody."""


class Faults:
    """Which requests fail, counted from 1 over those that are no health check. `last` is the last that does."""

    def __init__(self) -> None:
        self.count, self.first, self.last, self.way = 0, 0, 0, WAYS[0]
        self.lock = threading.Lock()

    def plan(self, first: int, last: int, way: str) -> None:
        self.count, self.first, self.last, self.way = 0, first, last, way

    def next(self) -> str | None:
        with self.lock:
            self.count += 1
            return self.way if self.first <= self.count <= self.last else None


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[tuple[str, Faults]]:
    """Its address and its faults."""
    faults, target = Faults(), urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            way = None if self.path == "/health" else faults.next()
            if way == "refused":
                self.close_connection = True
                return
            if way == "error":
                self._answer(503, {}, b"no server")
                return
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
            connection.request(self.command, self.path, content, {**self.headers, "Host": target.netloc})
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            if way == "lost":
                self.close_connection = True
                return
            self._answer(answer.status, dict(answer.getheaders()), body)

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "connection", "transfer-encoding", "date", "server"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 as http.server calls them

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
        server.server_close()
