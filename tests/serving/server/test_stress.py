"""A server under stress: keys, slow clients, too many of them, workers that break, and being told to stop."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from endpoints import Served, served

KEY = "s3cret-of-the-endpoint"


pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def folder(make_bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("stressed") / "bundle").folder


@pytest.fixture
def image(picture: Callable[..., bytes]) -> bytes:
    return picture("blue", kind="JPEG")


@pytest.fixture(scope="module")
def strict(folder: Path) -> Iterator[Served]:
    """One that wants a key, waits a second for slow clients, and keeps a short line."""
    options = ("--patience", "1", "--queue", "8", "--max-batch", "2", "--log-level", "info", "--timeout", "20")
    with served(folder, *options, MODELYARD_API_KEY=KEY) as server:
        yield server
        assert KEY not in server.end()


def ask(server: Served, image: bytes, **options) -> httpx.Response:
    return httpx.post(f"{server.url}/predict", content=image, headers={"authorization": f"Bearer {KEY}"}, timeout=60, **options)


def test_without_the_key_nothing_is_answered_but_health(strict: Served, image: bytes) -> None:
    assert ask(strict, image).json()["label"] == "blue"
    assert httpx.post(f"{strict.url}/predict", content=image, headers={"x-api-key": KEY}).status_code == 200
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}, {"x-api-key": ""}):
        refused = httpx.post(f"{strict.url}/predict", content=image, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert KEY not in refused.text
    assert httpx.get(f"{strict.url}/metrics").status_code == 401
    assert httpx.get(f"{strict.url}/health").status_code == 200
    assert httpx.get(f"{strict.url}/ping").status_code == 200


def dribble(url: str, head: bytes, seconds: float) -> bytes:
    """Send a byte at a time; what comes back before the other side hangs up."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(head)
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                wire.sendall(b"x")
                time.sleep(0.1)
        except OSError:
            pass
        try:
            return wire.recv(4096)
        except OSError:
            return b"closed"


def test_a_slow_loris_is_let_go(strict: Served) -> None:
    key = f"Authorization: Bearer {KEY}\r\n".encode()
    slow_body = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n" + key + b"\r\n"
    with ThreadPoolExecutor(2) as both:
        head = both.submit(dribble, strict.url, b"POST /predict HTTP/1.1\r\nX-", 3)
        body = both.submit(dribble, strict.url, slow_body, 3)
        assert body.result().startswith(b"HTTP/1.1 408")
        assert head.result() in {b"", b"closed"}


def test_more_than_it_can_answer_is_refused_at_once_and_it_never_collapses(strict: Served, image: bytes) -> None:
    (worker,) = strict.workers
    worker.suspend()
    with ThreadPoolExecutor(40) as crowd:
        asked = [crowd.submit(ask, strict, image) for _ in range(40)]
        before, deadline = 0, time.monotonic() + 15
        while (done := sum(future.done() for future in asked)) < 28 or done != before:  # a busy machine sends 40 slowly
            assert time.monotonic() < deadline, f"{done} of 40 were refused"
            before = done
            time.sleep(1)
        refused = [future.result() for future in asked if future.done()]
        assert len(refused) >= 25
        assert {answer.status_code for answer in refused} == {429}
        assert all(answer.headers["retry-after"] == "1" and "wait already" in answer.json()["error"] for answer in refused)
        assert httpx.get(f"{strict.url}/health", timeout=2).status_code == 200
        worker.resume()
        answered = [future.result() for future in asked if future.result().status_code == 200]
    assert len(answered) + len(refused) == 40
    assert 8 <= len(answered) <= 12
    assert all(answer.json()["label"] == "blue" for answer in answered)
    assert ask(strict, image).status_code == 200


def test_a_worker_that_ends_is_replaced_and_nobody_notices(strict: Served, image: bytes) -> None:
    (worker,) = strict.workers
    worker.suspend()
    with ThreadPoolExecutor(1) as other:
        asked = other.submit(ask, strict, image)
        time.sleep(0.3)
        worker.kill()
        assert asked.result().json()["label"] == "blue"
    assert [process.pid for process in strict.workers] != [worker.pid]


def test_workers_that_are_killed_while_nobody_asks_are_missed_and_no_picture_s_fault(folder: Path, image: bytes) -> None:
    with served(folder, "--workers", "2") as server:

        def health() -> int:
            return httpx.get(f"{server.url}/health").status_code

        def seen(status: int, workers: int) -> None:
            deadline = time.monotonic() + 20
            while health() != status or len(server.workers) < workers:
                assert time.monotonic() < deadline
                time.sleep(0.02)

        seen(200, 2)
        time.sleep(0.5)  # the second one loads
        for worker in server.workers:
            worker.kill()
        seen(503, 0)
        assert ask(server, image).json()["label"] == "blue"
        seen(200, 2)


def test_told_to_stop_it_answers_what_was_asked_and_nothing_is_left(folder: Path, image: bytes) -> None:
    with served(folder, "--log-level", "info") as server:
        (worker,) = server.workers
        worker.suspend()
        with ThreadPoolExecutor(1) as other:
            asked = other.submit(ask, server, image, params={"q": "kept out of the log"})
            time.sleep(0.3)
            server.process.terminate()
            time.sleep(0.3)
            worker.resume()
            assert asked.result().json()["label"] == "blue"
        _, noise = server.process.communicate(timeout=30)
        assert server.process.returncode == 0
        assert not worker.is_running()
    logged = [json.loads(line) for line in noise.splitlines()]
    request = next(line for line in logged if line["event"] == "request")
    assert (request["method"], request["path"], request["status"], request["bytes"]) == ("POST", "/predict", 200, len(image))
    assert request["ms"] > 300
    assert "kept out" not in noise


def test_two_workers_share_the_work(folder: Path, image: bytes) -> None:
    with served(folder, "--workers", "2") as server:
        deadline = time.monotonic() + 20
        while len(server.workers) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        with ThreadPoolExecutor(8) as crowd:
            labels = list(crowd.map(lambda _: ask(server, image).json()["label"], range(80)))
        assert labels == ["blue"] * 80
        spent = [sum(worker.cpu_times()[:2]) for worker in server.workers]
        assert len(spent) == 2


@pytest.mark.parametrize("name", ["model.onnx", "labels.json", "preprocess.json", "card.md"])
def test_one_changed_byte_refuses_to_start_and_names_the_file(make_bundle, tmp_path: Path, name: str) -> None:
    folder = make_bundle(tmp_path / "bundle").folder
    data = bytearray((folder / name).read_bytes()) if (folder / name).exists() else bytearray(b"xx")
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    refused = start(folder)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert name in refused.stderr


def start(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "serving.start", "--bundle", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_pickle_renamed_to_onnx_is_no_model(make_bundle, tmp_path: Path) -> None:
    from serving.bundle.seal import read_index, seal

    folder = make_bundle(tmp_path / "bundle").folder
    (folder / "model.onnx").write_bytes(b"\x80\x04K\x01.")
    seal(folder, read_index(folder))
    refused = start(folder)
    assert refused.returncode == 2
    assert "ONNX Runtime cannot load it" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_cuda_that_is_not_there_is_said_and_not_replaced(folder: Path) -> None:
    refused = start(folder, "--device", "cuda")
    assert refused.returncode == 2
    assert "would run on CPUExecutionProvider instead" in refused.stderr


def test_a_port_that_is_taken_is_one_line(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        refused = start(folder, "--port", str(other.getsockname()[1]))
    assert refused.returncode == 2
    assert "cannot be listened at" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_bundle_has_to_be_signed_where_a_key_is_asked_for(make_bundle, tmp_path: Path) -> None:
    from registry.signing import open_keyring, public_text
    from serving.bundle.signature import sign_bundle

    folder, keys, others = make_bundle(tmp_path / "bundle").folder, tmp_path / "keys", tmp_path / "others"
    ours, theirs = (open_keyring(tmp_path / f"{name}.pem", tmp_path / "none") for name in ("ours", "theirs"))
    for path, ring in ((keys, ours), (others, theirs)):
        path.mkdir()
        (path / "key.pub").write_text(public_text(ring.own.public_key()))
    unsigned = start(folder, "--keys", str(keys))
    assert (unsigned.returncode, "is not signed" in unsigned.stderr) == (2, True)
    sign_bundle(folder, ours)
    with served(folder, "--keys", str(keys)) as server:
        assert httpx.get(f"{server.url}/health").status_code == 200
    wrong = start(folder, "--keys", str(others))
    assert (wrong.returncode, "is not trusted here" in wrong.stderr) == (2, True)
    (folder / "bundle.json").write_text((folder / "bundle.json").read_text().replace('"version": 1', '"version": 2'))
    forged = start(folder, "--keys", str(keys))
    assert (forged.returncode, "is wrong" in forged.stderr) == (2, True)


def test_a_hundred_clients_that_hang_up_leave_nothing_behind(folder: Path, image: bytes) -> None:
    with served(folder) as server:
        host, port = server.url.removeprefix("http://").split(":")

        def rude(_: int) -> None:
            with socket.create_connection((host, int(port))) as wire:
                head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(image)}\r\n\r\n".encode()
                wire.sendall(head + image[: len(image) // 2])

        threads = [threading.Thread(target=rude, args=(n,)) for n in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ask(server, image).json()["label"] == "blue"
        waiting = next(
            line for line in httpx.get(f"{server.url}/metrics").text.splitlines() if line.startswith("modelyard_queue")
        )
        assert waiting.endswith(" 0.0")
        assert "failed" not in server.end()
