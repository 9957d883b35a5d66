"""Whatever either cloud answers or fails to: what the client of a proxy sees, and for whom it counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from registry.errors import InputError, ModelyardError, StorageError, UnavailableError
from serving.canary.tally import Tally, TrafficCounter
from serving.server.middleware import Guard, Limits
from serving.targets.canary_proxy import CanaryProxy, ProxiedEndpoint
from serving.targets.contract import LiveEndpoint
from serving.targets.refusals import refusal

STATUSES = (400, 401, 402, 403, 404, 405, 408, 410, 413, 415, 418, 422, 429, 431, 500, 502, 503, 504)


async def become(so: Callable[[], bool]) -> None:
    for _ in range(2000):
        if so():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never became so")


def live(version: int) -> LiveEndpoint:
    return LiveEndpoint(name=f"v{version}", model="hand", version=version, bundle=f"b{version}", url="-", handle="-")


CLOUD = {status: refusal("hand", httpx.Response(status, text="no")) for status in STATUSES}
CLOUD_ODD = [
    UnavailableError("e", "is away", "wait"),
    ValueError("no json"),
    KeyError("odd"),
    httpx.InvalidURL("bad"),
    TimeoutError(),
]


def proxied(folder: Path, stable: Any, canary: Any, share: float) -> tuple[int, Tally, dict[str, Any]]:
    """The status, the count and the body of one request through the proxy of a pair of endpoints."""
    from starlette.routing import Route, Router

    def ask(behaviour: Any) -> Callable[[bytes], dict[str, float]]:
        def answer(_: bytes) -> dict[str, float]:
            if isinstance(behaviour, Exception):
                raise behaviour
            return behaviour

        return answer

    proxy = CanaryProxy(
        ProxiedEndpoint(live(1), ask(stable)),
        ProxiedEndpoint(live(2), ask(canary)),
        TrafficCounter("b2", share, folder / "t.json"),
    )

    async def run() -> httpx.Response:
        app = Guard(Router([Route("/predict", proxy.predict, methods=["POST"])]), Limits())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://front") as client:
            answer = await client.post("/predict", content=b"x")
            await proxy.drain()
            return answer

    answer = asyncio.run(run())
    proxy.stop()
    return answer.status_code, proxy.counter.tally, answer.json()


@pytest.mark.parametrize("canary", [{"a": 1.0}, *CLOUD.values(), *CLOUD_ODD], ids=lambda value: str(value)[:40])
def test_the_client_of_a_proxy_gets_the_stable_answer_and_the_cloud_is_blamed_for_its_own(canary: Any, tmp_path: Path) -> None:
    for number, stable in enumerate([{"a": 1.0}, *CLOUD.values(), *CLOUD_ODD]):
        status, tally, body = proxied(tmp_path / str(number), stable, canary, 1.0)
        if isinstance(canary, dict):
            assert (status, body["version"], tally.canary.requests, tally.canary.failed) == (200, 2, 1, 0)
            continue
        picture = isinstance(stable, InputError)
        assert status == (200 if isinstance(stable, dict) else 422 if picture else 503)
        theirs = picture and isinstance(canary, InputError)
        assert (tally.canary.requests, tally.canary.failed) == ((0, 0) if theirs else (1, 1)), (canary, stable)


@pytest.mark.parametrize("stable", [{"a": 1.0}, *CLOUD.values(), *CLOUD_ODD], ids=lambda value: str(value)[:40])
def test_a_cloud_s_trouble_is_a_503_and_counts_against_it(stable: Any, tmp_path: Path) -> None:
    status, tally, _ = proxied(tmp_path, stable, {"a": 1.0}, 0.0)
    counted = (tally.stable.requests, tally.stable.failed)
    if isinstance(stable, dict):
        assert (status, counted) == (200, (1, 0))
    elif isinstance(stable, InputError):
        assert (status, counted) == (422, (0, 0))
    else:
        assert (status, counted) == (503, (1, 1))


def test_a_cloud_s_refusal_is_the_picture_s_only_where_the_picture_was_looked_at() -> None:
    blamed = {status for status, error in CLOUD.items() if isinstance(error, InputError)}
    assert blamed == {400, 413, 415, 422, 431}
    assert all(isinstance(error, ModelyardError) for error in CLOUD.values())


def test_an_endpoint_that_never_answers_costs_a_time_limit_and_its_threads_run_out_in_words(
    tmp_path: Path, monkeypatch
) -> None:
    import threading

    release, asked = threading.Event(), list[int]()

    def never(_: bytes) -> dict[str, float]:
        asked.append(1)
        release.wait(30)
        return {"a": 1.0}

    monkeypatch.setattr("serving.targets.canary_proxy._CANARY_THREADS", 2)
    counter = TrafficCounter("b2", 1.0, tmp_path / "t.json")
    proxy = CanaryProxy(ProxiedEndpoint(live(1), lambda _: {"a": 1.0}), ProxiedEndpoint(live(2), never, 0.05), counter)

    async def run() -> list[dict[str, float] | str]:
        answers = list[dict[str, float] | str]()
        for _ in range(3):
            try:
                answers.append(await proxy._ask(proxy.canary, b"x"))
            except ModelyardError as error:
                answers.append(error.expectation)
        release.set()
        await become(lambda: not proxy._of_canary._asking)
        answers.append(await proxy._ask(proxy.canary, b"x"))
        return answers

    late = "had no answer in 0.05 s"
    assert asyncio.run(run()) == [late, late, "2 requests wait already", {"a": 1.0}]
    assert len(asked) == 3
    proxy.stop()


@pytest.mark.parametrize(
    "error", [StorageError("disk", "is full", "free some"), OSError(28, "full"), PermissionError(13, "no"), ValueError("odd")]
)
def test_counts_that_cannot_be_saved_stay_are_reported_once_and_are_saved_later(
    error: Exception, tmp_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, failing = tmp_path / "t.json", [error]
    write = Tally.write

    def written(self: Tally, to: Path) -> None:
        if failing:
            raise failing[0]
        write(self, to)

    monkeypatch.setattr(Tally, "write", written)
    monkeypatch.setattr("serving.targets.canary_proxy._SAVE_S", 0.001)
    proxy = CanaryProxy(ProxiedEndpoint(live(1), dict), ProxiedEndpoint(live(2), dict), TrafficCounter("b2", 0.5, path))

    async def run() -> None:
        saving = asyncio.create_task(proxy.save())
        with caplog.at_level(logging.WARNING):
            for _ in range(20):
                proxy.counter.note("canary", 0.01, failed=False)
                await asyncio.sleep(0.005)
        assert not saving.done()
        assert proxy.counter.problem
        assert not path.exists()
        failing.clear()
        await become(lambda: not proxy.counter.problem)
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)

    asyncio.run(run())
    assert [record.message for record in caplog.records if "cannot be saved" in record.message] == [
        next(record.message for record in caplog.records)
    ]
    assert TrafficCounter("b2", 0.5, path).tally.canary.requests == 20
    proxy.stop()
