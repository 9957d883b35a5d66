"""A server that fetches pictures asks public hosts alone, over https, once, and not for long."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from registry.errors import InputError, ModelyardError, UnavailableError
from serving.fetch import Fetcher, public


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "::1", "fe80::1%eth0",  # noqa: S104
     "fc00::1", "::ffff:10.0.0.1", "2002:a00:1::"],
)  # fmt: skip
def test_addresses_of_this_machine_and_of_private_networks_are_not_asked(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_are(address: str) -> None:
    assert public(address)


def fetch(url: str, answer: httpx.Response | Exception, *addresses: str, most: int = 100) -> tuple[bytes, httpx.Request]:
    """What a fetcher gets, and what it asked."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def resolve(_: str) -> list[str]:
        return list(addresses) or ["93.184.216.34"]

    fetcher = Fetcher(most, resolve, transport=httpx.MockTransport(handle))
    found = asyncio.run(fetcher(url))
    assert len(asked) == 1
    return found, asked[0]


def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    found, asked = fetch("https://pictures.example/a.jpg?x=1", httpx.Response(200, content=b"picture"))
    assert found == b"picture"
    assert str(asked.url) == "https://93.184.216.34/a.jpg?x=1"
    assert asked.headers["host"] == "pictures.example"
    assert asked.extensions["sni_hostname"] == "pictures.example"


@pytest.mark.parametrize(
    ("url", "addresses", "said"),
    [
        ("http://pictures.example/a.jpg", (), "only https"),
        ("https://pictures.example:8443/a.jpg", (), "only https on port 443"),
        ("https://me:secret@pictures.example/a.jpg", (), "without a user"),
        ("https://localhost/a.jpg", ("127.0.0.1",), "no public host"),
        ("https://both.example/a.jpg", ("93.184.216.34", "10.0.0.1"), "no public host"),
    ],
)
def test_what_may_not_be_asked_is_not(url: str, addresses: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        fetch(url, httpx.Response(200, content=b"never"), *addresses)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (httpx.Response(302, headers={"location": "https://127.0.0.1/"}), InputError, "answered 302"),
        (httpx.Response(200, content=b"x" * 101), InputError, "larger than 100 bytes"),
        (httpx.ConnectError("refused"), UnavailableError, "ConnectError"),
    ],
)
def test_what_goes_wrong_is_one_line(answer: httpx.Response | Exception, kind: type[ModelyardError], said: str) -> None:
    with pytest.raises(kind, match=said):
        fetch("https://pictures.example/a.jpg", answer)
