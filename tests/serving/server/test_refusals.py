"""Every refusal, whoever makes it, is JSON with a line and an id: the handlers', the guard's, and the HTTP parser's."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from endpoints import ROOT, Served, served
from wire import exchange, problem

from registry.errors import InputError, UnavailableError
from serving.server import connections, middleware
from serving.server.middleware import Guard, Limits
from serving.server.openapi import document
from serving.server.protocols.served import UnsupportedError
from serving.workers.pool import OverloadedError

KEY = "s3cret-of-the-endpoint"
HOST = b"Host: x\r\n"
PARSER = {
    400: b"nonsense\r\n\r\n",
    414: b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    431: b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"a" * 100_000 + b"\r\n\r\n",
}
"""What the HTTP parser refuses before there is a request."""
OTHERS = [
    (400, b"GET / HTTP/9.9\r\n\r\n"),
    (400, b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
    (400, b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    (400, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
    (431, b"GET / HTTP/1.1\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(200)) + b"\r\n"),
    (404, b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n"),
    (404, b"POST /predict/ HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"),
    (405, b"GET /predict HTTP/1.1\r\n" + HOST + b"\r\n"),
    (405, b"DELETE /health HTTP/1.1\r\n" + HOST + b"\r\n"),
    (405, b"OPTIONS /v2 HTTP/1.1\r\n" + HOST + b"\r\n"),
]


@pytest.fixture(scope="module")
def server(make_bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(make_bundle(tmp_path_factory.mktemp("refusing") / "bundle").folder, "--patience", "2") as endpoint:
        yield endpoint


@pytest.mark.parametrize(("status", "sent"), [*PARSER.items(), *OTHERS])
def test_what_no_handler_sees_is_refused_in_the_documented_form(server: Served, status: int, sent: bytes) -> None:
    answered, fields = problem(exchange(server.url, sent))
    assert answered == status, fields
    assert fields["error"].count(";") >= 1, "a line says what to do"


def test_a_refused_method_names_those_that_are_allowed(server: Served) -> None:
    refused = httpx.put(f"{server.url}/predict")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert httpx.put(f"{server.url}/health").headers["allow"] == "GET, HEAD"


def test_another_model_is_refused_with_an_id(server: Served) -> None:
    for path in ("/v2/models/other", "/v2/models/other/ready", "/v2/models/colours/versions/9"):
        refused = httpx.get(server.url + path, headers={"x-request-id": "mine"})
        assert (refused.status_code, refused.json()["request_id"]) == (404, "mine")


@settings(max_examples=150)
@given(st.binary(min_size=1, max_size=300))
def test_no_bytes_are_answered_in_another_form(server: Served, noise: bytes) -> None:
    """Whatever is sent, an answer of 400 or more is JSON; and the server goes on."""
    answer = exchange(server.url, noise + b"\r\n\r\n")
    if answer and not answer.startswith(b"HTTP/1.1 2"):
        problem(answer)


def test_the_server_has_outlived_all_of_it(server: Served) -> None:
    assert httpx.get(f"{server.url}/health").status_code == 200
    assert server.process.poll() is None


def guarded(error: BaseException | None, **scope: Any) -> tuple[int, dict[str, bytes], Any]:
    """What the guard answers where the app raises this."""
    sent = list[dict[str, Any]]()

    async def app(*_: object) -> None:
        if error:
            raise error

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    guard = Guard(app, Limits(max_bytes=10, api_key=scope.pop("api_key", "")))
    request = {"type": "http", "method": "POST", "path": "/predict", "headers": []} | scope
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(guard(request, receive, send))  # type: ignore[arg-type]
    headers = {name.decode(): value for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, msgspec.json.decode(sent[1]["body"])


RAISED: dict[int, tuple[BaseException | None, dict[str, Any]]] = {
    401: (None, {"api_key": KEY}),
    408: (middleware._TooSlowError("a", "b", "c"), {}),
    413: (None, {"headers": [(b"content-length", b"11")]}),
    415: (UnsupportedError("a", "b", "c"), {}),
    422: (InputError("a", "b", "c"), {}),
    429: (OverloadedError("a", "b", "c"), {}),
    500: (OSError("a trace shows a stranger our files"), {}),
    503: (UnavailableError("a", "b", "c"), {}),
}


@pytest.mark.parametrize("status", RAISED)
def test_each_refusal_of_the_guard_has_the_same_form(status: int) -> None:
    error, scope = RAISED[status]
    answered, headers, fields = guarded(error, **scope)
    assert (answered, set(fields), headers["content-type"]) == (status, {"error", "request_id"}, b"application/json")
    assert headers["x-request-id"].decode() == fields["request_id"]
    assert (headers.get("retry-after") is not None) == (status in {429, 503})
    assert "stranger" not in fields["error"]


def test_a_stop_that_takes_too_long_is_told_in_json() -> None:
    answered, headers, fields = guarded(asyncio.CancelledError())
    assert (answered, headers["retry-after"], set(fields)) == (503, b"1", {"error", "request_id"})


def test_a_file_that_may_not_be_opened_is_no_missing_key() -> None:
    assert guarded(PermissionError(13, "Permission denied"))[0] == 500
    assert guarded(None, api_key=KEY)[1]["www-authenticate"] == b"Bearer"


def test_every_status_that_the_server_can_send_is_documented_and_tried_here() -> None:
    codes = {code for _, code in middleware._STATUS} | {500}
    codes |= {connections._BAD, connections._LONG_URL, connections._LONG_HEAD, connections._BUSY}
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    table = page[page.index("### Error responses") : page.index("### How it works")]
    assert {int(code) for code in re.findall(r"^\| (\d{3}) \|", table, re.MULTILINE)} == codes
    assert set(RAISED) | set(PARSER) | {status for status, _ in OTHERS} == codes
    operations = [operation for path in document()["paths"].values() for operation in path.values()]
    published = {int(code) for operation in operations for code in operation["responses"]}
    assert codes - published == {500}
    for operation in operations:
        for code, response in operation["responses"].items():
            if int(code) >= 400:
                assert "application/json" in response["content"], (operation["summary"], code)
