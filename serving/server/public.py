"""Which addresses are public: everything but what the IANA keeps for a special purpose.

Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its updates), the multicast registries, and
RFC 7526, 4380, 5214 and 6052 for what embeds an IPv4 address. Nothing in them is where a picture lies, reachable or not.
Python's own `is_global` is asked as well: it follows the registries, at the age of the interpreter.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

_IPv4, _IPv6 = ipaddress.IPv4Network, ipaddress.IPv6Network

_SPECIAL_4 = [
    _IPv4(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # in no registry: Azure answers its own machines there
    )
]
_UNICAST_6 = _IPv6("2000::/3")
"""All that the IANA has given out of IPv6 as global unicast; every other special range lies outside."""

_SPECIAL_6 = [_IPv6(text) for text in ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20")]
"""Within it: protocol assignments (Teredo, ORCHID, benchmarking, AS112 among them), documentation."""

_NAT64 = _IPv6("64:ff9b::/96")
"""What DNS64 makes of a host that has IPv4 alone: its last 32 bits are that address."""

_ISATAP = {b"\0\0\x5e\xfe", b"\2\0\x5e\xfe"}
"""The third quarter of an address whose last quarter is an IPv4 address, in any prefix."""


def public(address: str) -> bool:
    """Whether an address is public: of no special purpose, and not a spelling of an IPv4 address that is."""
    try:
        plain = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(plain, ipaddress.IPv4Address):
        return _is_public_4(plain)
    if plain in _NAT64 or plain.ipv4_mapped is not None:
        return _is_public_4(ipaddress.IPv4Address(plain.packed[-4:]))
    if plain not in _UNICAST_6 or _within(plain, _SPECIAL_6):
        return False
    if plain.sixtofour is not None:  # its registry entry is as public as the address within
        return _is_public_4(plain.sixtofour) and _is_no_isatap_inside(plain)
    return plain.is_global and _is_no_isatap_inside(plain)


def _is_public_4(address: ipaddress.IPv4Address) -> bool:
    return address.is_global and not _within(address, _SPECIAL_4)


def _is_no_isatap_inside(address: ipaddress.IPv6Address) -> bool:
    """False for a tunnel to an IPv4 address that is not public."""
    inner = ipaddress.IPv4Address(address.packed[-4:])
    return address.packed[8:12] not in _ISATAP or _is_public_4(inner)


def _within(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, ranges: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    return any(address in network for network in ranges)
