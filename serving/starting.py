"""A container's port before there is anything to serve: /ping says 204 while the bundle is downloaded.

A load balancer that cannot connect counts a worker as broken; one that is told 204 waits. Light: a cold start waits for it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_BACKLOG = 1024
_HEAD_S, _MOST_HEAD = 1.0, 8192
_STARTS = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
_LATER = b'{"error":"server: is starting; try again in a second"}'
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
_BUSY += f"Content-Length: {len(_LATER)}\r\n\r\n".encode() + _LATER


@contextmanager
def waiting(host: str, port: int) -> Iterator[socket.socket]:
    """Listen, and answer /ping with 204 and anything else with 503 until the block ends; the socket then listens on.

    Whoever connects after the block waits for the process that takes the socket over. Raises OSError for an address that
    cannot be taken; the socket is closed where the block fails.
    """
    listening = socket.create_server((host, port), backlog=_BACKLOG)
    listening.settimeout(0.02)
    over = threading.Event()
    thread = threading.Thread(target=_answer, args=(listening, over), daemon=True)
    thread.start()
    try:
        yield listening
    except BaseException:
        listening.close()
        raise
    finally:
        over.set()
        thread.join()
    listening.settimeout(None)


def _answer(listening: socket.socket, over: threading.Event) -> None:
    """Answer one connection after the other: a load balancer's checks are few."""
    while not over.is_set():
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        except OSError:  # closed
            return
        with connection, suppress(OSError):
            head = _head_of(connection)
            path = head.split(b" ", 2)[1:2]
            connection.sendall(_STARTS if path and path[0].split(b"?")[0] == b"/ping" else _BUSY)
            connection.shutdown(socket.SHUT_WR)


def _head_of(connection: socket.socket) -> bytes:
    """A request's head, or as much of it as comes in time."""
    head, ends = b"", time.monotonic() + _HEAD_S
    while b"\r\n\r\n" not in head and len(head) < _MOST_HEAD and (left := ends - time.monotonic()) > 0:
        connection.settimeout(left)
        received = connection.recv(_MOST_HEAD)
        if not received:
            break
        head += received
    return head
