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
from attacks import ATTACKS
from endpoints import Served, served

pytestmark = [pytest.mark.journey, pytest.mark.alone]

SECONDS, HONEST = 4.0, 4


@pytest.fixture(scope="module")
def server(make_bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(make_bundle(tmp_path_factory.mktemp("attacked") / "bundle").folder, "--workers", "2") as endpoint:
        deadline = time.monotonic() + 20
        while len(endpoint.workers) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        yield endpoint


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


def rate(server: Served, image: bytes) -> float:
    """Answers a second to honest clients, each of which asks again as soon as it is answered."""
    until = time.monotonic() + SECONDS

    def ask(_: int) -> int:
        answered = 0
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while time.monotonic() < until:
                try:
                    answered += client.post("/predict", content=image).json().get("label") == "blue"
                except httpx.RemoteProtocolError:
                    continue  # an idle connection was closed to make room
        return answered

    with ThreadPoolExecutor(HONEST) as clients:
        return sum(clients.map(ask, range(HONEST))) / SECONDS


@pytest.mark.parametrize("attack", ATTACKS)
def test_honest_clients_keep_half_of_their_rate(server: Served, picture: Callable[..., bytes], attack: str) -> None:
    image = picture("blue", kind="JPEG")
    workers = {worker.pid for worker in server.workers}
    rate(server, image)
    before = rate(server, image)
    with attacked(server, attack):
        beside = rate(server, image)
    alone = min(before, rate(server, image))  # of both: other programs come and go on a machine
    measured = f"{attack}: {alone:.0f} answers a second alone, {beside:.0f} beside four hostile clients"
    logging.getLogger("hostile").warning(measured)
    assert beside >= alone / 2, measured
    assert {worker.pid for worker in server.workers} == workers
    assert httpx.get(f"{server.url}/health").status_code == 200
