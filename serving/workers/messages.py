"""The messages between the HTTP process and its workers: JSON heads with raw bytes behind them, over a socket pair.

    length of the head, length of the bytes, head, bytes

Imports nothing that numpy does not import anyway: a user waits for a cold start.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, NamedTuple

_LENGTHS = struct.Struct("!II")
PREFIX = _LENGTHS.size


class Item(NamedTuple):
    """One picture: an image file's bytes, or with a `shape` (height, width) its RGB bytes, row by row."""

    data: bytes
    shape: tuple[int, int] | None = None


class Hello(NamedTuple):
    """A worker's first message: its provider and the shape of an output row, or why it cannot start."""

    provider: str = ""
    row: tuple[int, ...] = ()
    error: str = ""


class Done(NamedTuple):
    """Rows in order, as float32 bytes; errors by picture index; and seconds spent."""

    rows: list[bytes]
    errors: dict[int, str]
    decode_s: float
    predict_s: float


def pack_load(bundle: str, threads: int, device: str) -> bytes:
    """The first message to a worker: what to load."""
    return _pack({"bundle": bundle, "threads": threads, "device": device})


def pack_hello(hello: Hello) -> bytes:
    """A worker's first message."""
    return _pack(hello._asdict())


def read_hello(head: bytes) -> Hello:
    """Read a worker's first message."""
    fields = json.loads(head)
    return Hello(fields["provider"], tuple(fields["row"]), fields["error"])


def pack_items(items: list[Item]) -> bytes:
    """Pack pictures as one message."""
    return _pack([(len(item.data), item.shape) for item in items], b"".join(item.data for item in items))


def read_items(head: bytes, data: bytes) -> list[Item]:
    """Read pictures from a message."""
    items, at = list[Item](), 0
    for size, shape in json.loads(head):
        items.append(Item(data[at : at + size], tuple(shape) if shape else None))
        at += size
    return items


def pack_done(done: Done) -> bytes:
    """Pack answers as one message."""
    head = {"sizes": [len(row) for row in done.rows], "errors": done.errors, "seconds": (done.decode_s, done.predict_s)}
    return _pack(head, b"".join(done.rows))


def read_done(head: bytes, data: bytes) -> Done:
    """Read answers from a message."""
    fields, rows, at = json.loads(head), list[bytes](), 0
    for size in fields["sizes"]:
        rows.append(data[at : at + size])
        at += size
    return Done(rows, {int(index): why for index, why in fields["errors"].items()}, *fields["seconds"])


def _pack(head: Any, data: bytes = b"") -> bytes:
    encoded = json.dumps(head).encode()
    return _LENGTHS.pack(len(encoded), len(data)) + encoded + data


def lengths(prefix: bytes) -> tuple[int, int]:
    """The lengths of a message's head and of its bytes."""
    head, data = _LENGTHS.unpack(prefix)
    return head, data


def receive(connection: socket.socket) -> tuple[bytes, bytes] | None:
    """The next message's head and bytes, or None when the other side has closed."""
    if (prefix := _exactly(connection, PREFIX)) is None:
        return None
    head, data = lengths(prefix)
    body = _exactly(connection, head + data)
    return None if body is None else (body[:head], body[head:])


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    buffer = bytearray(count)
    view, at = memoryview(buffer), 0
    while at < count:
        got = connection.recv_into(view[at:])
        if not got:
            return None
        at += got
    return bytes(buffer)
