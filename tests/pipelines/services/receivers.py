"""Local receivers of notices over HTTP and SMTP, and notices for them."""

from __future__ import annotations

import base64
import socketserver
import threading
from datetime import UTC, datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pipelines.home import Home
from pipelines.services.notices import Notice
from registry.events import Refused, about
from registry.records import Finding, ModelVersion
from registry.stages import Stage

HAND = about(ModelVersion("hand", 1, 1), "d")


class Receiver:
    """An HTTP server that keeps what it gets and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(receiver.status.pop(0) if receiver.status else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/s3cret"


class PostOffice(socketserver.StreamRequestHandler):
    """As much of SMTP as a message needs."""

    def handle(self) -> None:
        office, receivers = self.server, []
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"EHLO":
                self.wfile.write(b"250-here\r\n250 AUTH PLAIN\r\n")
            elif word == b"AUTH":
                office.logins.append(base64.b64decode(line.split()[-1]))
                self.wfile.write(b"235 fine\r\n")
            elif word == b"RCPT":
                receivers.append(line.decode().strip())
                self.wfile.write(office.rcpt)
            elif word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                body = bytearray()
                while (part := self.rfile.readline()) != b".\r\n":
                    body += part
                office.mails.append((receivers, message_from_bytes(bytes(body))))
                self.wfile.write(b"250 taken\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 fine\r\n")


def a_notice(text: str = "hand/1 promoted", **fields) -> Notice:
    return Notice(id="row-1", kind="promotion", at=datetime(2026, 11, 24, tzinfo=UTC), model="hand", text=text, **fields)


def refuse(shop: Home, text: str = "top1 0.8 is below 0.9") -> None:
    findings = [Finding(gate="metric", passed=False, text=text)]
    shop.ledger().append(Refused(**HAND, stage=Stage.STAGING, actor="ada", findings=findings))
