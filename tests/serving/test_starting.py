"""A container's port is open before its bundle is there: /ping says 204 meanwhile, and nobody is turned away in between."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

sys.path.insert(0, str(Path(__file__).parent))
from containers import ROOT, answered, free_port

from serving.fakes.http import listening
from serving.starting import waiting


def test_a_port_that_waits_says_so_to_whoever_asks() -> None:
    port = free_port()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        with waiting("127.0.0.1", port) as given:
            assert client.get("/ping").status_code == 204
            later = client.post("/predict", content=b"x" * 100)
            assert (later.status_code, later.headers["retry-after"]) == (503, "1")
            assert "is starting" in later.json()["error"]
            with socket.create_connection(("127.0.0.1", port)) as silent:  # one that says nothing keeps nobody long
                silent.sendall(b"GET /ping HTTP/1.1\r\n")
                assert client.get("/ping").status_code == 204
        with given, socket.create_connection(("127.0.0.1", port)):  # it waits for the next process
            given.settimeout(5)
            given.accept()[0].close()


def test_an_address_that_is_taken_is_an_error_and_a_block_that_fails_frees_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):  # noqa: SIM117
        with waiting("127.0.0.1", other.getsockname()[1]):
            pass
    port = free_port()
    with pytest.raises(ValueError, match="no bundle"), waiting("127.0.0.1", port):
        raise ValueError("no bundle")
    with waiting("127.0.0.1", port) as given:
        pass
    given.close()


@pytest.mark.journey
def test_a_worker_says_204_from_the_first_second_until_it_serves(make_bundle, picture, tmp_path: Path) -> None:
    bundle, port, go = make_bundle(tmp_path / "one"), free_port(), threading.Event()
    pings = list[int]()

    def file(request: Request) -> Response:
        go.wait(60)  # a slow host
        path = bundle.folder / request.path_params["name"]
        return FileResponse(path) if path.is_file() else Response(status_code=404)

    with listening(Starlette(routes=[Route("/{name}", file)])) as url:
        secrets = {"MODELYARD_BUNDLE_URL": url, "MODELYARD_BUNDLE": bundle.index.digest, "MODELYARD_NO_KEY": "1"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
        environment = kept | secrets | {"PORT": str(port), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
        command = [sys.executable, "-P", "-m", "serving.container", "--workers", "1"]
        with (tmp_path / "log").open("wb") as log:
            worker = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                assert answered(lambda: client.get("/ping")).status_code == 204
                go.set()
                until = time.monotonic() + 60
                while not pings or pings[-1] != 200:  # a connection that is refused would raise
                    assert time.monotonic() < until, (tmp_path / "log").read_text()
                    pings.append(client.get("/ping").status_code)
                assert set(pings) <= {200, 204}
                assert client.post("/predict", content=picture("red")).json()["label"] == "red"
        finally:
            worker.terminate()
            worker.wait(30)


def test_a_port_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from serving import container

    monkeypatch.setenv("MODELYARD_BUNDLE_URL", "https://x.invalid")
    for port in ("", "http", "0", "70000", "-1"):
        monkeypatch.setenv("PORT", port)
        assert container.main() == 2
        assert capsys.readouterr().err.startswith(f"PORT: '{port}' is no port")
