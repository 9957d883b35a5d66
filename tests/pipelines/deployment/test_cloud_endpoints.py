"""Endpoints in the double of a cloud: a canary behind a proxy, and a delete that is tried again."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))
import clouds

from pipelines.deployment.canary.proxy import proxy_of
from pipelines.job.deploys import LocalDeploy
from registry.errors import UnavailableError
from registry.events import CanaryStarted, Deployed, now
from registry.memory import MemoryLedger
from registry.promotion.promote import promote
from registry.refs import Ref
from registry.stages import Stage
from serving.targets.runpod.config import RunPodDeploy

sys.path.insert(0, str(Path(__file__).parent))
from canary_world import ADA, RULES, killed_before, make_world

pytestmark = pytest.mark.journey


def test_a_pair_of_endpoints_in_a_cloud_behind_a_front(
    make_bundle, picture: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunPodDeploy(image=clouds.IMAGE, bundles="https://bundles.invalid", canary=RULES, smoke_images=1)
    with clouds.runpod_world(tmp_path / "cloud") as runpod:
        made = make_world(make_bundle, picture, tmp_path, config)
        target = runpod.target(pools=())
        made.targets.runpod.append(target)
        made.promote(1)
        made.promote(2)
        assert {live.name: live.version for live in target.list()} == {
            "colours-production": 1,
            "colours-production-canary": 2,
        }
        front, _ = proxy_of(made.parts.canaries, "colours", Stage.PRODUCTION)
        assert made.once() == []
        versions = asked(front, picture("red"), 44)
        assert (versions.count(1), versions.count(2)) == (22, 22)
        assert any("promoted" in line for line in made.once())
        assert {live.name: live.version for live in target.list()} == {"colours-production": 2}
        assert runpod.leaks() == []


def test_a_canary_that_a_killed_command_made_is_deleted_with_its_stage(
    make_bundle, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    config = RunPodDeploy(image=clouds.IMAGE, bundles="https://bundles.invalid", canary=RULES, smoke_images=1)
    with clouds.runpod_world(tmp_path / "cloud") as runpod:
        made = make_world(make_bundle, picture, tmp_path, config)
        target = runpod.target(pools=())
        made.targets.runpod.append(target)
        made.promote(1)
        with killed_before(made.context.ledger, CanaryStarted):
            made.promote(2)
        assert len(target.list()) == 2
        promote(made.context, Ref("colours", 2), Stage.ARCHIVED, ADA)
        for _ in range(2):
            made.once()
        assert target.list() == []
        assert runpod.leaks() == []


def test_a_canary_goes_with_its_stage_s_endpoint_when_that_moves(
    make_bundle, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    config = RunPodDeploy(image=clouds.IMAGE, bundles="https://bundles.invalid", canary=RULES, smoke_images=1)
    with clouds.runpod_world(tmp_path / "cloud") as runpod:
        made = make_world(make_bundle, picture, tmp_path, config)
        target = runpod.target(pools=())
        made.targets.runpod.append(target)
        made.promote(1)
        made.promote(2)
        assert len(target.list()) == 2
        here = LocalDeploy(smoke_images=1)
        made.parts.deployer.deploy(here, Ref("colours", 2), Stage.PRODUCTION)
        try:
            assert target.list() == []
            assert runpod.leaks() == []
        finally:
            made.targets.local().delete("colours-production")


@pytest.mark.parametrize("how", ["alias removed in MLflow", "archived"])
def test_an_endpoint_in_a_cloud_that_could_not_be_deleted_is_deleted_later(
    make_bundle, picture: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    config = RunPodDeploy(image=clouds.IMAGE, bundles="https://bundles.invalid", smoke_images=1)
    with clouds.runpod_world(tmp_path / "cloud") as runpod:
        made = make_world(make_bundle, picture, tmp_path, config)
        target = runpod.target(pools=())
        made.targets.runpod.append(target)
        made.promote(1)
        (live,) = target.list()
        assert [event.handle for event in deployed(made.context.ledger)] == [live.handle]
        runpod.double.cloud.endpoints[live.handle].spec["name"] = "renamed in the console"
        assert made.once() == []
        monkeypatch.setattr(target, "delete_by", _refuses)
        if how == "archived":
            promote(made.context, Ref("colours", 1), Stage.ARCHIVED, ADA)
        else:
            made.context.store.delete_alias("colours", "production")
            made.once()
        assert [live.name for live in target.list()] == ["colours-production"]
        assert made.once() == [], "the wait is not over"
        made.parts.outages.clock = lambda: time.monotonic() + 60
        monkeypatch.setattr("pipelines.deployment.retire.now", lambda: now() + timedelta(minutes=1))
        assert any("no answer" in line for line in made.once())
        monkeypatch.undo()
        monkeypatch.setattr("pipelines.deployment.retire.now", lambda: now() + timedelta(minutes=1))
        assert made.once() == [], "the account failed just now, and is not asked"
        made.parts.outages.clock = lambda: time.monotonic() + 120
        monkeypatch.setattr("pipelines.deployment.retire.now", lambda: now() + timedelta(minutes=1))
        assert made.once() == ["colours-production deleted: no version holds its stage"]
        assert target.list() == []
        assert made.once() == []


def deployed(ledger: MemoryLedger) -> list[Deployed]:
    return [row.event for row in ledger.entries("colours") if isinstance(row.event, Deployed)]


def _refuses(*_: str) -> None:
    raise UnavailableError("RunPod", "no answer", "ask again")


def asked(front: Any, body: bytes, times: int) -> list[int]:
    from starlette.routing import Route, Router

    app = Router([Route("/predict", front.predict, methods=["POST"])])

    async def run() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://front", timeout=60) as client:
            versions = list[int]()
            for _ in range(times):
                versions.append((await client.post("/predict", content=body)).raise_for_status().json()["version"])
            await front.drain()
        front.counter.save()
        return versions

    return asyncio.run(run())
