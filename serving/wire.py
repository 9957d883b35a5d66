"""What the HTTP process and its workers say to each other: length, then MessagePack, over a socket pair."""

from __future__ import annotations

import socket
import struct
from typing import TypeVar

import msgspec

_LENGTH = struct.Struct("!I")
T = TypeVar("T")


class Item(msgspec.Struct, array_like=True, frozen=True):
    """One picture: an image file's bytes, or with a `shape` (height, width) its RGB bytes, row by row."""

    data: bytes
    shape: tuple[int, int] | None = None


class Hello(msgspec.Struct, array_like=True, frozen=True):
    """A worker's first word: what it runs on and the shape of a row of its answers; or why it cannot."""

    provider: str = ""
    row: tuple[int, ...] = ()
    error: str = ""


class Done(msgspec.Struct, array_like=True, frozen=True):
    """Answers in order, as float32 bytes; why a picture could not be read, by its place; and seconds spent."""

    rows: list[bytes]
    errors: dict[int, str]
    decode_s: float
    predict_s: float


def pack(message: object) -> bytes:
    """A message as it goes over the wire."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


def length(head: bytes | bytearray) -> int:
    """How many bytes follow the first four."""
    return int(_LENGTH.unpack(head)[0])


def receive(wire: socket.socket, kind: type[T]) -> T | None:
    """The next message, or None when the other side is gone."""
    head = _exactly(wire, _LENGTH.size)
    body = head and _exactly(wire, length(head))
    return msgspec.msgpack.decode(body, type=kind) if body else None


def _exactly(wire: socket.socket, count: int) -> bytearray | None:
    found = bytearray(count)
    view, at = memoryview(found), 0
    while at < count:
        got = wire.recv_into(view[at:])
        if not got:
            return None
        at += got
    return found
