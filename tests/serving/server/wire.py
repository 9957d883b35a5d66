"""Bytes to a server and back, without a client that would put them right."""

from __future__ import annotations

import contextlib
import json
import socket

PROBLEM = {"error", "request_id"}


def connect(url: str, host: str = "127.0.0.1") -> socket.socket:
    """A connection, from any of this machine's own addresses."""
    server, port = url.removeprefix("http://").split(":")
    return socket.create_connection((server, int(port)), timeout=15, source_address=(host, 0))


def exchange(url: str, sent: bytes) -> bytes:
    """Everything that comes back until the other side closes or has answered."""
    with connect(url) as wire:
        with contextlib.suppress(OSError):  # it hung up while we sent; it may have answered before
            wire.sendall(sent)
        return answer_of(wire)


def answer_of(wire: socket.socket) -> bytes:
    """One answer: its head, and as many bytes as the head says."""
    data = b""
    with contextlib.suppress(OSError):
        while (part := wire.recv(65_536)) != b"":
            data += part
            head, gap, body = data.partition(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if gap and lengths and len(body) >= int(lengths[0].partition(b":")[2]):
                break
    return data


def problem(answer: bytes) -> tuple[int, dict[str, str]]:
    """The status and JSON of an answer that has to be an error in the documented form."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    fields = json.loads(body)
    assert headers["content-type"] == "application/json", answer
    assert set(fields) >= PROBLEM, fields
    assert headers["x-request-id"] == fields["request_id"]
    return int(lines[0].split()[1]), fields
