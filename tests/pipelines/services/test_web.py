"""The server of `modelyard web`: the page's files and no others, for this machine's pages alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipelines.services.web import page_server
from registry.errors import BusyError


@pytest.fixture
def vanishing(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"network")
    return path


@pytest.fixture
def url(vanishing: Path) -> Iterator[str]:
    files = {"index.html": b"<p>", "model/model.onnx": vanishing, "model/ü b.json": b"{}"}
    with page_server(files, 0) as url:
        yield url


def test_files_come_with_the_headers_that_threads_and_strangers_need(url: str) -> None:
    answer = httpx.get(url)
    assert (answer.status_code, answer.text) == (200, "<p>")
    assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert httpx.get(f"{url}model/%C3%BC%20b.json").json() == {}
    assert httpx.post(url).status_code == 405


@pytest.mark.parametrize("path", ["..%2f..%2fetc%2fpasswd", "/etc/passwd", "%00", "model", "model/", "x" * 5000])
def test_nothing_else_can_be_asked_for(url: str, path: str) -> None:
    assert httpx.get(url + path).status_code == 404


def test_a_file_that_was_removed_meanwhile_is_not_there(url: str, vanishing: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert httpx.get(f"{url}model/model.onnx").content == b"network"
    vanishing.unlink()
    assert httpx.get(f"{url}model/model.onnx").status_code == 404
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "[::1]", "10.0.0.1"])
def test_a_name_that_was_made_to_point_here_reads_nothing(url: str, host: str) -> None:
    answer = httpx.get(f"{url}model/model.onnx", headers={"host": host})
    assert answer.status_code == 421
    assert b"network" not in answer.content


def test_a_port_that_is_taken_is_one_line(url: str) -> None:
    port = httpx.URL(url).port or 0
    with pytest.raises(BusyError, match=f"port {port}.*--port"), page_server({}, port):
        pass
