"""Pictures from addresses, for a server that was told to fetch: https only, public hosts only, no redirects, bounded.

The host's name is resolved once, and the connection goes to the very address that was judged: a name that answers
something else the second time gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from registry.errors import InputError, UnavailableError, shorten

_SECONDS = 10.0
_HTTPS = 443
Resolve = Callable[[str], Awaitable[list[str]]]


async def resolve(host: str) -> list[str]:
    """The addresses of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, _HTTPS, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


def public(address: str) -> bool:
    """Whether an address is one that anybody may ask: not of this machine, not of a private network."""
    plain = ipaddress.ip_address(address.partition("%")[0])
    inner = plain.ipv4_mapped or plain.sixtofour if isinstance(plain, ipaddress.IPv6Address) else None
    return all(one.is_global and not one.is_multicast for one in (plain, inner) if one is not None)


@dataclass(frozen=True)
class Fetcher:
    """Downloads pictures of at most `most` bytes. `transport`, `resolve` and `allowed` are given by tests alone."""

    most: int
    resolve: Resolve = resolve
    allowed: Callable[[str], bool] = public
    transport: httpx.AsyncBaseTransport | None = None

    async def __call__(self, url: str) -> bytes:
        """The bytes at an address. Raises InputError for one that may not be asked, UnavailableError for a failure."""
        try:
            asked = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InputError("image", "is not an address", "send https://HOST/PATH") from error
        if asked.scheme != "https" or asked.userinfo or (asked.port or _HTTPS) != _HTTPS:
            raise InputError("image", "is an address that is not asked", "only https on port 443, without a user, is")
        try:
            found = await self.resolve(asked.host)
        except (OSError, UnicodeError) as error:
            raise InputError("image", f"is at {shorten(asked.host, 60)}, which has no address", "mend the address") from error
        if not found or not all(self.allowed(one) for one in found):
            raise InputError("image", f"is at {shorten(asked.host, 60)}, which is no public host", "send the image itself")
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._download(asked, found[0])
        except (httpx.HTTPError, TimeoutError) as error:
            why = f"did not give the picture ({type(error).__name__})"
            raise UnavailableError(shorten(asked.host, 60), why, "send the image itself") from error

    async def _download(self, asked: httpx.URL, address: str) -> bytes:
        pinned, body = asked.copy_with(host=address), bytearray()
        async with (
            httpx.AsyncClient(transport=self.transport, trust_env=False, timeout=_SECONDS) as client,
            client.stream("GET", pinned, headers={"Host": asked.host}, extensions={"sni_hostname": asked.host}) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise InputError("image", f"answered {answer.status_code} at {shorten(asked.host, 60)}", "mend the address")
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > self.most:
                    raise InputError("image", f"is larger than {self.most:,} bytes", "send a smaller one")
        return bytes(body)
