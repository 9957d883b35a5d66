"""Downloading pictures from URLs, with --fetch: https only, public hosts only, no redirects, bounded.

The host name is resolved once, and the connection goes to the very address that was checked, so DNS rebinding gains
nothing. It needs no package that the server's image lacks.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httptools

from registry.errors import InputError, UnavailableError, shorten
from serving.server.public import public

_SECONDS = 10.0
_HTTPS = 443
_MOST_HEAD = 65_536
_OK = 200
_HOST = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")

Resolve = Callable[[str], Awaitable[list[str]]]
Connect = Callable[[str, str], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def resolve(host: str) -> list[str]:
    """The addresses of a host."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, _HTTPS, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


async def connect(address: str, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to an address, and to no other, whose certificate is the host's."""
    context = ssl.create_default_context()
    reader, writer = await asyncio.open_connection(address, _HTTPS, ssl=context, server_hostname=host)
    peer = str(writer.get_extra_info("peername")[0])
    if ipaddress.ip_address(peer.partition("%")[0]) != ipaddress.ip_address(address.partition("%")[0]):
        writer.transport.abort()
        raise ConnectionRefusedError(peer)
    return reader, writer


@dataclass(frozen=True)
class Fetcher:
    """Downloads pictures of at most `most` bytes. `resolve`, `connect` and `allowed` exist for tests."""

    most: int
    resolve: Resolve = resolve
    connect: Connect = connect
    allowed: Callable[[str], bool] = public

    async def __call__(self, url: str) -> bytes:
        """The bytes at an address. Raises InputError for a URL that is not allowed, UnavailableError for a failure."""
        host, target = _checked(url)
        try:
            addresses = await self.resolve(host)
        except (OSError, UnicodeError) as error:
            raise InputError("image", f"is at {shorten(host, 60)}, which has no address", "check the URL") from error
        if not addresses or not all(self.allowed(address) for address in addresses):
            raise InputError("image", f"is at {shorten(host, 60)}, which is not a public host", "send the image itself")
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._download(host, target, addresses[0])
        except (OSError, EOFError, httptools.HttpParserError) as error:
            why = f"did not give the picture ({type(error).__name__})"
            raise UnavailableError(shorten(host, 60), why, "send the image itself") from error

    async def _download(self, host: str, target: str, address: str) -> bytes:
        reader, writer = await self.connect(address, host)
        try:
            named = f"[{host}]" if ":" in host else host
            head = f"GET {target} HTTP/1.1\r\nHost: {named}\r\nAccept: image/*\r\nAccept-Encoding: identity\r\n"
            writer.write(f"{head}User-Agent: modelyard\r\nConnection: close\r\n\r\n".encode())
            answer = _Answer()
            while not answer.whole and (data := await reader.read(_MOST_HEAD)):
                answer.take(data)
                if answer.status not in {0, _OK}:
                    raise InputError("image", f"answered {answer.status} at {shorten(host, 60)}", "check the URL")
                if len(answer.body) > self.most:
                    raise InputError("image", f"is larger than {self.most:,} bytes", "send a smaller one")
            return answer.end()
        finally:
            writer.transport.abort()


def _checked(url: str) -> tuple[str, str]:
    """A URL's host, and its path with query. Raises InputError for a URL that is not allowed."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode() if ":" not in (parts.hostname or "") else str(parts.hostname)
        other = parts.scheme != "https" or parts.username is not None or (parts.port or _HTTPS) != _HTTPS
    except ValueError as error:
        raise InputError("image", "is not an address", "send https://HOST/PATH") from error
    if other:
        raise InputError("image", "is an address that is not asked", "only https on port 443, without a user, is")
    if not _HOST.fullmatch(host):
        raise InputError("image", "is not an address", "send https://HOST/PATH")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return host, quote(target, safe="%/:=&?~#+!$,;'@()*[]")


class _Answer:
    """A host's answer, parsed as it arrives. httptools calls the methods that begin with `on`."""

    def __init__(self) -> None:
        self.status, self.body, self.whole = 0, bytearray(), False
        self._head, self._counted = 0, False
        self._parser: Any = httptools.HttpResponseParser(self)

    def take(self, data: bytes) -> None:
        """The next bytes. Raises HttpParserError for invalid HTTP, EOFError for a head that is too long."""
        self._head += 0 if self.status else len(data)
        if self._head > 2 * _MOST_HEAD:
            raise EOFError
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self.whole:  # bytes after the answer do not matter
                raise

    def end(self) -> bytes:
        """The picture. Raises EOFError if the host broke off."""
        if not self.whole and (self._counted or not self.status):
            raise EOFError
        return bytes(self.body)

    def on_header(self, name: bytes, _: bytes) -> None:
        """An answer with a declared length can be cut short."""
        self._counted = self._counted or name.lower() in {b"content-length", b"transfer-encoding"}

    def on_headers_complete(self) -> None:
        """The status; one below 200 precedes the answer."""
        status = self._parser.get_status_code()
        self.status = status if status >= _OK else 0

    def on_body(self, data: bytes) -> None:
        """A part of the picture."""
        self.body += data

    def on_message_complete(self) -> None:
        """The end."""
        self.whole = self.status >= _OK
