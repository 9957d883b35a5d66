"""A proxy before two endpoints of a provider: both are compared, and nobody meets the canary's failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import httpx

from registry.errors import InputError, UnavailableError
from serving.canary.tally import TrafficCounter
from serving.server.middleware import Guard, Limits
from serving.server.routing import router
from serving.targets.canary_proxy import CanaryProxy, ProxiedEndpoint
from serving.targets.contract import LiveEndpoint


def live(version: int) -> LiveEndpoint:
    return LiveEndpoint(name=f"v{version}", model="hand", version=version, bundle=f"b{version}", url="-", handle="-")


def asked(proxy: CanaryProxy, times: int, body: bytes = b"x", key: str = "") -> list[httpx.Response]:
    """Through the front's app, as a client would."""
    from starlette.routing import Route, Router

    app = Guard(Router([Route("/predict", proxy.predict, methods=["POST"])]), Limits(api_key=key))

    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://front") as client:
            answers = [await client.post("/predict", content=body) for _ in range(times)]
            await proxy.drain()
            return answers

    return asyncio.run(run())


def proxy_of(
    tmp_path: Path, stable: Callable[[bytes], dict[str, float]], canary: Callable[[bytes], dict[str, float]]
) -> CanaryProxy:
    return CanaryProxy(
        ProxiedEndpoint(live(1), stable), ProxiedEndpoint(live(2), canary), TrafficCounter("b2", 0.5, tmp_path / "tally.json")
    )


def test_a_front_shares_the_traffic_of_a_pair_and_compares(tmp_path: Path) -> None:
    proxy = proxy_of(tmp_path, lambda _: {"a": 0.9, "b": 0.1}, lambda _: {"a": 0.2, "b": 0.8})
    answers = [answer.json() for answer in asked(proxy, 10)]
    assert [answer["version"] for answer in answers] == [1, 2] * 5
    assert {answer["label"] for answer in answers if answer["version"] == 2} == {"b"}
    counted = proxy.counter.tally
    assert (counted.stable.requests, counted.canary.requests, counted.compared, counted.disagreed) == (5, 5, 5, 5)


def test_a_front_answers_where_the_canary_does_not_and_blames_no_canary_for_a_bad_image(tmp_path: Path) -> None:
    def broken(_: bytes) -> dict[str, float]:
        raise UnavailableError("endpoint", "is gone", "wait")

    def picky(_: bytes) -> dict[str, float]:
        raise InputError("image", "is none", "send one")

    proxy = proxy_of(tmp_path, lambda _: {"a": 1.0}, broken)
    assert [answer.json()["version"] for answer in asked(proxy, 6)] == [1] * 6
    assert (proxy.counter.tally.canary.requests, proxy.counter.tally.canary.failed) == (3, 3)
    proxy = proxy_of(tmp_path / "other", picky, picky)
    assert {answer.status_code for answer in asked(proxy, 6)} == {422}
    assert (proxy.counter.tally.canary.failed, proxy.counter.tally.stable.failed) == (0, 0)
    assert {answer.status_code for answer in asked(proxy, 2, key="secret")} == {401}


def test_a_canary_that_hangs_takes_no_request_from_the_stable_version(tmp_path: Path) -> None:
    finish = threading.Event()

    def hangs(_: bytes) -> dict[str, float]:
        finish.wait(60)
        return {"a": 1.0}

    proxy = CanaryProxy(
        ProxiedEndpoint(live(1), lambda _: {"a": 1.0}),
        ProxiedEndpoint(live(2), hangs, seconds=0.3),
        TrafficCounter("b2", 0.5, tmp_path / "tally.json"),
    )
    app = Guard(router({}, {"/predict": proxy.predict}), Limits())

    async def run() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://front") as client:
            try:
                rounds = [await asyncio.gather(*(client.post("/predict", content=b"x") for _ in range(60))) for _ in range(4)]
                return [answer.json().get("version", answer.status_code) for answers in rounds for answer in answers]
            finally:
                finish.set()
                proxy.stop()

    assert asyncio.run(run()) == [1] * 240
    assert (proxy.counter.tally.stable.requests, proxy.counter.tally.stable.failed) == (120, 0)
    failed = proxy.counter.tally.canary.failed
    assert 0 < failed < 120  # those that it let wait, and not those that it was spared
