"""An endpoint on loopback whose answers a test scripts, by the picture that it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, NamedTuple

GOOD = {"label": "cup", "probability": 0.75, "probabilities": {"cup": 0.75, "hand": 0.25}, "model": "hand", "version": 3}


class Reply(NamedTuple):
    """What is sent back; no `body` closes the connection without an answer."""

    status: int = 200
    body: Any = GOOD
    headers: Mapping[str, str] = {}


class Requests:
    """What was sent, and how many requests were open at the same time."""

    def __init__(self) -> None:
        self.bodies, self.headers, self.open, self.most_open, self.lock = list[bytes](), list[dict[str, str]](), 0, 0, Lock()


@contextmanager
def endpoint(reply: Callable[[bytes, int], Reply]) -> Iterator[tuple[str, Requests]]:
    """Serve; `reply` gets the body and how often it was sent before."""
    requests = Requests()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            with requests.lock:
                before = requests.bodies.count(data)
                requests.bodies.append(data)
                requests.headers.append({name.lower(): value for name, value in self.headers.items()})
                requests.open += 1
                requests.most_open = max(requests.most_open, requests.open)
            try:
                self._answer(reply(data, before))
            finally:
                with requests.lock:
                    requests.open -= 1

        def _answer(self, given: Reply) -> None:
            if given.body is None:
                self.close_connection = True
                return
            body = given.body if isinstance(given.body, bytes) else json.dumps(given.body).encode()
            self.send_response(given.status)
            for name, value in {"content-length": str(len(body)), **given.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()
