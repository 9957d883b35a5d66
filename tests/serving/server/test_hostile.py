"""Honest clients beside four hostile ones: they keep at least half of their rate, whatever the four send."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from attacks import ATTACKS, PROTOCOLS, by_every_protocol, parts
from endpoints import Served, served

pytestmark = [pytest.mark.journey, pytest.mark.alone]

SECONDS, HONEST = 2.0, ("image", "MLflow", "OIP", "OIP in bytes")


@pytest.fixture(scope="module")
def server(make_bundle, picture: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(make_bundle(tmp_path_factory.mktemp("attacked") / "bundle").folder, "--workers", "2") as endpoint:
        deadline = time.monotonic() + 20
        while len(endpoint.workers) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        rates(endpoint, picture("blue", kind="JPEG"))  # the first answers of a worker are slow
        yield endpoint


@pytest.fixture(scope="module")
def last(server: Served, picture: Callable[..., bytes]) -> list[dict[str, float]]:
    """The rates without hostile clients that were measured last: after one attack is before the next."""
    return [rates(server, picture("blue", kind="JPEG"))]


@contextmanager
def attacked(server: Served, attack: str) -> Iterator[None]:
    """Four hostile clients in a process of their own."""
    command = [sys.executable, str(Path(__file__).with_name("attacks.py")), server.url, attack]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        process.stdout.readline()
        time.sleep(1)
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def rates(server: Served, image: bytes) -> dict[str, float]:
    """Answers a second, by protocol, to an honest client of each, which asks again as soon as it is answered."""
    until = time.monotonic() + SECONDS

    def ask(sent: bytes) -> float:
        path, body, headers = parts(sent)
        answered = 0
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while time.monotonic() < until:
                try:
                    answered += b"blue" in client.post(path, content=body, headers=headers).content
                except httpx.RemoteProtocolError:
                    continue  # an idle connection was closed to make room
        return answered / SECONDS

    with ThreadPoolExecutor(len(HONEST)) as clients:
        requests = dict(zip(PROTOCOLS, by_every_protocol(image), strict=True))
        return dict(zip(HONEST, clients.map(ask, [requests[name] for name in HONEST]), strict=True))


@pytest.mark.parametrize("attack", ATTACKS)
def test_honest_clients_of_every_protocol_keep_half_of_their_rate(
    server: Served, last: list[dict[str, float]], picture: Callable[..., bytes], attack: str
) -> None:
    image = picture("blue", kind="JPEG")
    workers = {worker.pid for worker in server.workers}
    before = last[-1]
    with attacked(server, attack):
        beside = rates(server, image)
    last.append(after := rates(server, image))
    alone = {name: min(before[name], after[name]) for name in HONEST}  # of both: other programs come and go on a machine
    measured = ", ".join(f"{name} {alone[name]:.0f} → {beside[name]:.0f}" for name in HONEST)
    logging.getLogger("hostile").warning("%s: answers a second, alone and beside four hostile clients: %s", attack, measured)
    assert all(beside[name] >= alone[name] / 2 for name in HONEST), measured
    assert {worker.pid for worker in server.workers} == workers
    assert httpx.get(f"{server.url}/health").status_code == 200
