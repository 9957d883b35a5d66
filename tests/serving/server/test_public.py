"""Every range that the IANA keeps for a special purpose is refused to its edges, and so is every spelling of it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InputError
from serving.server.fetch import Fetcher, connect, public

SPECIAL = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.170/32",
    "192.0.0.171/32",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::1/128",
    "::/128",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "4000::/3",
    "168.63.129.16/32",
]
"""Both registries as of 2025-10, the multicast ranges, what is not given out, and the address of Azure's own machines."""

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
]
PUBLIC += ["128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0"]
PUBLIC += ["192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"]
PUBLIC += [
    "198.51.99.255",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "168.63.129.15",
    "2001:200::1",
    "2001:4860:4860::8888",
]
PUBLIC += ["2001:db7:ffff::1", "2001:db9::1", "2606:4700::1111", "2a00:1450::1", "2620:4f:7fff::1", "3fff:1000::1"]
NETWORKS = [ipaddress.ip_network(text) for text in SPECIAL]
FOURS = [network for network in NETWORKS if network.version == 4]


def edges(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> list[str]:
    middle = network[network.num_addresses // 2]
    return [str(address) for address in (network[0], network[-1], middle)]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_special_range_is_refused_from_edge_to_edge(network: ipaddress.IPv4Network) -> None:
    assert [address for address in edges(network) if public(address)] == []


@pytest.mark.parametrize("address", PUBLIC)
def test_what_lies_beside_a_special_range_is_public(address: str) -> None:
    assert public(address)


def spellings(inner: ipaddress.IPv4Address) -> dict[str, str]:
    """The ways in which IPv6 embeds an IPv4 address, and whether one is judged by it or refused at any rate."""
    number, high, low = int(inner), int(inner) >> 16, int(inner) & 0xFFFF
    inverted = number ^ 0xFFFFFFFF
    return {
        "mapped": f"::ffff:{inner}",
        "nat64": f"64:ff9b::{high:x}:{low:x}",
        "6to4": f"2002:{high:x}:{low:x}::1",
        "isatap": f"2a00:1450::5efe:{high:x}:{low:x}",
        "isatap of a public address": f"2a00:1450::200:5efe:{high:x}:{low:x}",
        "compatible": f"::{high:x}:{low:x}",
        "translated": f"::ffff:0:{high:x}:{low:x}",
        "local nat64": f"64:ff9b:1::{high:x}:{low:x}",
        "teredo server": f"2001:0:{high:x}:{low:x}::1",
        "teredo client": f"2001:0:808:808:0:0:{inverted >> 16:x}:{inverted & 0xFFFF:x}",
        "relayed": f"2002:808:808::5efe:{high:x}:{low:x}",
    }


JUDGED = {"mapped", "nat64", "6to4", "isatap", "isatap of a public address", "relayed"}


@given(st.sampled_from(FOURS), st.integers(0))
def test_no_spelling_of_a_special_ipv4_address_is_public(network: ipaddress.IPv4Network, offset: int) -> None:
    inner = network[offset % network.num_addresses]
    assert not public(str(inner))
    assert [name for name, address in spellings(inner).items() if public(address)] == []


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_as_itself(inner: ipaddress.IPv4Address) -> None:
    for name, address in spellings(inner).items():
        assert public(address) is (public(str(inner)) and name in JUDGED), name


@given(st.ip_addresses())
def test_nothing_is_public_that_python_or_a_registry_keeps(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    inner = address.ipv4_mapped if address.version == 6 else None
    if (
        public(str(address))
        and inner is None
        and address not in ipaddress.ip_network("64:ff9b::/96" if address.version == 6 else "::/0")
    ):
        assert address.is_global
        assert not any(address in network for network in NETWORKS if network.version == address.version)


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "0x8080808", "1.2.3.4.5", "::g", "%eth0"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not public(text)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "017700000001", "127.1", "0", "[::ffff:127.0.0.1]", "[::]", "[64:ff9b::7f00:1]"]
)
def test_an_address_in_a_url_is_judged_however_it_is_spelled(host: str) -> None:
    with pytest.raises(InputError):
        asyncio.run(Fetcher(100)(f"https://{host}/a.jpg"))


def test_a_connection_that_ends_elsewhere_than_at_the_judged_address_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as by a resolver that is asked again, or a proxy: what is asked is where the bytes really go."""

    async def handle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def run() -> None:
        opened = asyncio.open_connection
        async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
            here = server.sockets[0].getsockname()
            monkeypatch.setattr(ssl, "create_default_context", lambda: None)

            async def elsewhere(*_: object, **__: object):
                return await opened(*here, family=socket.AF_INET)

            monkeypatch.setattr(asyncio, "open_connection", elsewhere)
            await connect("93.184.216.34", "pictures.example")

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(run())
