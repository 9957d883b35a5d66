"""An endpoint that shares its traffic: nobody meets a canary's failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from serving.canary.tally import Tally


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
            answers = [client.post("/predict", content=picture("red")).json() for _ in range(40)]
            assert sum(answer["version"] == 2 for answer in answers) == 10
            assert {answer["label"] for answer in answers if answer["version"] == 1} == {"red"}
            assert {answer["label"] for answer in answers if answer["version"] == 2} <= {"green", "blue"}
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
