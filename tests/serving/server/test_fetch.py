"""A server that fetches pictures asks public hosts alone, over https, once, and not for long."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry.errors import InputError, ModelyardError, UnavailableError
from serving.server.fetch import Fetcher, public


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "::1", "fe80::1%eth0",  # noqa: S104
     "fc00::1", "::ffff:10.0.0.1", "2002:a00:1::", "ff0e::1", "fec0::1", "2001:db8::1"],
)  # fmt: skip
def test_addresses_of_this_machine_and_of_private_networks_are_not_asked(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize(
    "address",
    ["64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "64:ff9b:1::5db8:d822", "::a00:1",
     "::5db8:d822", "::ffff:0:10.0.0.1", "::ffff:0:5db8:d822", "2001:0:a00:1::f5ff:fffe", "2002:7f00:1::1"],
)  # fmt: skip
def test_private_addresses_in_the_clothes_of_ipv6_are_not_asked(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"],
)
def test_public_addresses_are(address: str) -> None:
    assert public(address)


def http(status: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


def fetch(url: str, answer: bytes | Exception, *addresses: str, most: int = 100) -> tuple[bytes, str, list[str]]:
    """What a fetcher gets of a host that sends these bytes and hangs up; what it asked; and where."""
    asked, where = list[str](), list[str]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)  # type: ignore[arg-type]
        writer.close()

    async def resolve(_: str) -> list[str]:
        return list(addresses) or ["93.184.216.34"]

    async def run() -> bytes:
        async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:

            async def connect(address: str, host: str):
                where.extend((address, host))
                if isinstance(answer, Exception):
                    raise answer
                return await asyncio.open_connection(*server.sockets[0].getsockname())

            return await Fetcher(most, resolve, connect)(url)

    return asyncio.run(run()), asked[0], where


def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    answer = http("200 OK", "Content-Length: 7", body=b"picture")
    picture, asked, where = fetch("https://Pictures.example/a b/ü.jpg?x=1&y=%20", answer)
    assert picture == b"picture"
    assert asked.startswith("GET /a%20b/%C3%BC.jpg?x=1&y=%20 HTTP/1.1\r\nHost: pictures.example\r\n")
    assert where == ["93.184.216.34", "pictures.example"]


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", "Transfer-Encoding: chunked", body=b"3\r\npic\r\n4\r\nture\r\n0\r\n\r\n"),
        http("200 OK", body=b"picture"),
        http("103 Early Hints", "Link: </a.css>")
        + http("200 OK", "Content-Length: 7", "Connection: close", body=b"picture and"),
    ],
    ids=["in pieces", "until it hangs up", "after a hint"],
)
def test_a_picture_is_read_as_hosts_send_it(answer: bytes) -> None:
    assert fetch("https://pictures.example/a.jpg", answer)[0] == b"picture"


@pytest.mark.parametrize(
    ("url", "addresses", "message"),
    [
        ("http://pictures.example/a.jpg", (), "only https"),
        ("https://pictures.example:8443/a.jpg", (), "only https on port 443"),
        ("https://me:secret@pictures.example/a.jpg", (), "without a user"),
        ("https://localhost/a.jpg", ("127.0.0.1",), "not a public host"),
        ("https://both.example/a.jpg", ("93.184.216.34", "10.0.0.1"), "not a public host"),
        ("https://nat.example/a.jpg", ("64:ff9b::a00:1",), "not a public host"),
        ("https:///a.jpg", (), "not an address"),
        ("https://pictures.example:x/a.jpg", (), "not an address"),
        ("https://[::1/a.jpg", (), "not an address"),
        ("https://pictures .example/a.jpg", (), "not an address"),
    ],
)
def test_what_may_not_be_asked_is_not(url: str, addresses: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        fetch(url, http("200 OK", body=b"never"), *addresses)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (http("302 Found", "Location: https://127.0.0.1/"), InputError, "answered 302"),
        (http("200 OK", body=b"x" * 101), InputError, "larger than 100 bytes"),
        (http("200 OK", "Content-Length: 9", body=b"cut"), UnavailableError, "EOFError"),
        (http("200 OK", "Transfer-Encoding: chunked", body=b"3\r\npic\r\n"), UnavailableError, "EOFError"),
        (http("200 OK", f"X: {'x' * 200_000}"), UnavailableError, "EOFError"),
        (b"", UnavailableError, "EOFError"),
        (b"SSH-2.0-OpenSSH\r\n", UnavailableError, "HttpParser"),
        (ConnectionRefusedError("refused"), UnavailableError, "ConnectionRefusedError"),
        (TimeoutError(), UnavailableError, "TimeoutError"),
    ],
)
def test_what_goes_wrong_is_one_line(answer: bytes | Exception, kind: type[ModelyardError], message: str) -> None:
    with pytest.raises(kind, match=message):
        fetch("https://pictures.example/a.jpg", answer)


def certificate(folder: Path, host: str) -> Path:
    """A certificate that a host signed for itself, with its key, as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "host.pem").write_bytes(pem)
    return folder / "host.pem"


def test_the_certificate_has_to_be_the_host_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path, "pictures.example")
    theirs, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=pem)
    theirs.load_cert_chain(pem)
    monkeypatch.setattr("serving.server.fetch.ssl.create_default_context", lambda: trusting)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http("200 OK", "Content-Length: 7", body=b"picture"))
        await writer.drain()
        writer.close()

    async def here(_: str) -> list[str]:
        return ["127.0.0.1"]

    async def run(host: str) -> bytes:
        async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=theirs) as server:
            monkeypatch.setattr("serving.server.fetch._HTTPS", server.sockets[0].getsockname()[1])
            return await Fetcher(100, here, allowed=lambda _: True)(f"https://{host}/a.jpg")

    assert asyncio.run(run("pictures.example")) == b"picture"
    with pytest.raises(UnavailableError, match="CertVerification"):
        asyncio.run(run("other.example"))


def test_fetching_needs_no_package_that_the_server_s_image_lacks() -> None:
    script = "import sys; sys.modules['httpx'] = None; import serving.server.fetch"
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
