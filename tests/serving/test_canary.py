"""Sharing traffic: exactly the share, nobody meets a canary's failure, and the verdict is what was counted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from registry.errors import InputError, UnavailableError
from serving.canary.labels import labels_of
from serving.canary.rules import CanaryRules, judge
from serving.canary.tally import Side, Tally, TrafficCounter, read_tally
from serving.server.middleware import Guard, Limits
from serving.targets.canary_proxy import CanaryProxy, ProxiedEndpoint
from serving.targets.contract import LiveEndpoint

RULES = CanaryRules(share=0.5, requests=100, hours_at_most=2)


def side(requests: int, failed: int = 0, seconds: float = 0.01) -> Side:
    found = Side()
    for place in range(requests):
        found = found.with_request(seconds, failed=place < failed)
    return found


def tally(canary: Side, stable: Side | None = None, compared: int = 90, disagreed: int = 0) -> Tally:
    return Tally("b", stable or side(100), canary, compared, disagreed)


@pytest.mark.parametrize(
    ("counted", "hours", "state", "why"),
    [
        (tally(side(100)), 0.1, "good", "100 requests"),
        (tally(side(99)), 0.1, "going", "99 of 100"),
        (tally(side(100, failed=2)), 0.1, "bad", "fails 2.0% of 100"),
        (tally(side(30, failed=1)), 0.1, "going", "30 of 100"),
        (tally(side(30, failed=10)), 0.1, "bad", "fails 33.3% of 30"),
        (tally(side(10, failed=10)), 0.1, "going", "10 of 100"),
        (tally(side(100, failed=2), side(100, failed=3)), 0.1, "good", "100 requests"),
        (tally(side(100), disagreed=18), 0.1, "good", "90 of them compared"),
        (tally(side(100), disagreed=19), 0.1, "bad", "disagrees"),
        (tally(side(40), compared=30, disagreed=20), 0.1, "bad", "disagrees"),
        (tally(side(100, seconds=0.0149)), 0.1, "good", "100 requests"),
        (tally(side(100, seconds=0.02)), 0.1, "bad", "takes"),
        (tally(side(100), compared=49), 0.1, "going", "only 49"),
        (tally(side(100), compared=49), 2.0, "bad", "only 49"),
        (tally(side(99)), 2.0, "bad", "only 99 of 100"),
    ],
)
def test_the_verdict_follows_from_the_figures(counted: Tally, hours: float, state: str, why: str) -> None:
    verdict = judge(RULES, counted, hours)
    assert (verdict.state, why in verdict.reason) == (state, True), verdict


def test_a_quiet_stage_may_promote_where_that_was_agreed() -> None:
    rules = RULES.model_copy(update={"when_quiet": "promote"})
    assert judge(rules, tally(side(3)), 2.0).state == "good"
    assert judge(rules, tally(side(0)), 2.0).state == "bad"  # what nobody asked shows nothing


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5])
def test_exactly_the_share_goes_to_the_canary(share: float, tmp_path: Path) -> None:
    counting = TrafficCounter("b", share, tmp_path / "tally.json")
    went = [counting.next_is_canary() for _ in range(1000)]
    assert abs(sum(went) - 1000 * share) <= 1
    assert sum(went[:500]) == pytest.approx(sum(went) / 2, abs=1)


def test_a_tally_goes_on_after_a_restart_and_begins_again_with_another_bundle(tmp_path: Path) -> None:
    path = tmp_path / "tally.json"
    first = TrafficCounter("b", 0.5, path)
    first.note("canary", 0.01, failed=False)
    first.compare(same=False)
    first.save()
    again = TrafficCounter("b", 0.5, path)
    assert again.tally == first.tally == read_tally(path)
    assert TrafficCounter("c", 0.5, path).tally == Tally("c")


@pytest.mark.parametrize(
    ("told", "labels"),
    [
        ({"label": "red", "version": 2}, ["red"]),
        ({"predictions": [{"label": "red"}, {"label": "blue"}]}, ["red", "blue"]),
        ({"outputs": [{"name": "probabilities", "shape": [2, 3], "data": [0.1, 0.9, 0, 0.5, 0.2, 0.3]}]}, ["1", "0"]),
        ({"outputs": [{"name": "label", "shape": [1], "data": ["red"]}]}, ["red"]),
        ({"error": "no"}, None),
        ([], None),
    ],
)
def test_labels_are_read_in_each_protocol(told: object, labels: list[str] | None) -> None:
    assert labels_of(json.dumps(told).encode()) == labels


def live(version: int) -> LiveEndpoint:
    return LiveEndpoint(name=f"v{version}", model="hand", version=version, bundle=f"b{version}", url="-", handle="-")


def asked(front: CanaryProxy, times: int, body: bytes = b"x", key: str = "") -> list[httpx.Response]:
    """Through the front's app, as a client would."""
    from starlette.routing import Route, Router

    app = Guard(Router([Route("/predict", front.predict, methods=["POST"])]), Limits(api_key=key))

    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://front") as client:
            found = [await client.post("/predict", content=body) for _ in range(times)]
            await front.drain()
            return found

    return asyncio.run(run())


def proxy_of(
    tmp_path: Path, stable: Callable[[bytes], dict[str, float]], canary: Callable[[bytes], dict[str, float]]
) -> CanaryProxy:
    return CanaryProxy(
        ProxiedEndpoint(live(1), stable), ProxiedEndpoint(live(2), canary), TrafficCounter("b2", 0.5, tmp_path / "tally.json")
    )


def test_a_front_shares_the_traffic_of_a_pair_and_compares(tmp_path: Path) -> None:
    front = proxy_of(tmp_path, lambda _: {"a": 0.9, "b": 0.1}, lambda _: {"a": 0.2, "b": 0.8})
    found = [one.json() for one in asked(front, 10)]
    assert [one["version"] for one in found] == [1, 2] * 5
    assert {one["label"] for one in found if one["version"] == 2} == {"b"}
    counted = front.counting.tally
    assert (counted.stable.requests, counted.canary.requests, counted.compared, counted.disagreed) == (5, 5, 5, 5)


def test_a_front_answers_where_the_canary_does_not_and_blames_no_canary_for_a_bad_image(tmp_path: Path) -> None:
    def broken(_: bytes) -> dict[str, float]:
        raise UnavailableError("endpoint", "is gone", "wait")

    def picky(_: bytes) -> dict[str, float]:
        raise InputError("image", "is none", "send one")

    front = proxy_of(tmp_path, lambda _: {"a": 1.0}, broken)
    assert [one.json()["version"] for one in asked(front, 6)] == [1] * 6
    assert (front.counting.tally.canary.requests, front.counting.tally.canary.failed) == (3, 3)
    front = proxy_of(tmp_path / "other", picky, picky)
    assert {one.status_code for one in asked(front, 6)} == {422}
    assert (front.counting.tally.canary.failed, front.counting.tally.stable.failed) == (0, 0)
    assert {one.status_code for one in asked(front, 2, key="secret")} == {401}


@pytest.mark.journey
def test_an_endpoint_shares_its_traffic_with_a_canary(make_bundle, picture, tmp_path: Path) -> None:
    """Real processes: the answers name who gave them, a killed canary costs nobody an answer, an order that is gone ends it."""
    from serving.targets.local.target import LocalTarget

    target = LocalTarget(tmp_path / "deployments")
    try:
        stable = target.deploy("hand", make_bundle(tmp_path / "one"), lambda _: None)
        canary = target.deploy("hand-canary", make_bundle(tmp_path / "two", version=2, gain=-20.0), lambda _: None)
        target.split("hand", canary, 0.25)
        with httpx.Client(base_url=stable.url) as client:
            waited(lambda: client.post("/predict", content=picture("red")).json()["version"] == 2)
            began = target.tally("hand") or Tally(canary.bundle)
            found = [client.post("/predict", content=picture("red")).json() for _ in range(40)]
            assert sum(one["version"] == 2 for one in found) == 10
            assert {one["label"] for one in found if one["version"] == 1} == {"red"}
            assert {one["label"] for one in found if one["version"] == 2} <= {"green", "blue"}
            for path in ("/v2/models/colours/versions/1/infer", "/metrics", "/health"):
                assert client.get(path).status_code in {200, 405}
            assert {client.post("/predict", content=b"no image").status_code for _ in range(8)} == {422}
            waited(lambda: (target.tally("hand") or began).compared >= 10)
            counted = target.tally("hand")
            assert counted is not None
            assert (counted.canary.failed, counted.stable.failed) == (0, 0)
            assert counted.disagreed == counted.compared
            assert abs(counted.stable.requests - 3 * counted.canary.requests) <= 3
            target.delete("hand-canary")
            assert {client.post("/predict", content=picture("red")).json()["version"] for _ in range(8)} == {1}
            waited(lambda: (target.tally("hand") or began).canary.failed == 2)
            target.split("hand", None, 0)
            time.sleep(1)
            assert {client.post("/predict", content=picture("red")).json()["version"] for _ in range(8)} == {1}
            assert target.tally("hand") is None
    finally:
        target.stop_all()


def waited(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.1)
