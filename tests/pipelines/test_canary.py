"""A canary from its promotion to its end, with real endpoints on this machine and no MLflow."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
import clouds

from pipelines.deployment.canary.proxy import proxy_of
from pipelines.deployment.canary.state import canary_of
from pipelines.deployment.deploy import DeployHook
from pipelines.deployment.retire import RetireHook
from pipelines.deployment.targets import Targets
from pipelines.home import Home
from pipelines.job.deploys import AnyDeploy, LocalDeploy
from pipelines.job.jobfile import parse_job
from pipelines.job.policy import set_policy
from pipelines.money.budgets import override
from pipelines.promotion.assemble import Parts, assemble
from pipelines.services.reconciler import Reconciler
from registry.errors import UnavailableError
from registry.events import CanaryEnded, CanaryStarted, Exported, Trained, about, now
from registry.files import write_json
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import PromotionContext
from registry.promotion.promote import promote, rollback
from registry.promotion.verdict import digest_version
from registry.records import Actor, Evidence, Finding
from registry.refs import Ref
from registry.settings import Settings
from registry.stages import Stage
from serving.canary.rules import CanaryRules
from serving.inference.runner import Runner
from serving.targets.contract import Target
from serving.targets.runpod.config import RunPodDeploy

pytestmark = pytest.mark.journey
ADA = Actor("ada", proven=True)
RULES = CanaryRules(share=0.5, requests=20, max_error_rate=0.05, max_latency_ratio=20, max_disagreement=0.2)


class Passes:
    def judge(self, evidence: Evidence) -> list[Finding]:
        return [Finding(gate="says", passed=True, text="as told")]


@dataclass(frozen=True)
class Cloud(Targets):
    """The targets of a home; RunPod is the double's, where there is one."""

    runpod: list[Target] = field(default_factory=list)

    def build(self, config: AnyDeploy) -> Target:
        return self.runpod[0] if config.kind == "runpod" else super().build(config)


class WithContext(Parts):
    """The parts of a home whose models all have the same gates and hooks."""

    def context_for(self, job: object) -> PromotionContext:
        return self.context


@dataclass
class World:
    """A stage with a canary in its job."""

    parts: Parts
    targets: Cloud
    context: PromotionContext
    said: list[str]

    def promote(self, number: int) -> None:
        promote(self.context, Ref("colours", number), Stage.STAGING, ADA)
        assert promote(self.context, Ref("colours", number), Stage.PRODUCTION, ADA).pending == []

    def once(self) -> list[str]:
        return Reconciler(self.parts).once().acted

    def ask(self, picture: bytes, times: int = 1) -> list[int]:
        live = self.targets.local().find("colours-production")
        assert live is not None
        with httpx.Client(base_url=live.url) as client:
            return [client.post("/predict", content=picture).raise_for_status().json()["version"] for _ in range(times)]

    def served(self) -> dict[str, int]:
        target = self.targets.local()
        return {live.name: live.version for live in target.list() if target.answers(live)}

    def ended(self) -> list[tuple[int, str]]:
        rows = [row.event for row in self.context.ledger.entries("colours")]
        return [(event.version, event.outcome) for event in rows if isinstance(event, CanaryEnded)]


@pytest.fixture
def world(make_bundle, picture: Callable[..., bytes], tmp_path: Path) -> Iterator[World]:
    made = make_world(make_bundle, picture, tmp_path, LocalDeploy(canary=RULES, smoke_images=1))
    yield made
    made.targets.local().stop_all()


def make_world(make_bundle, picture: Callable[..., bytes], tmp_path: Path, config: AnyDeploy) -> World:
    home, lines = Home(Settings(home=tmp_path / "home")), list[str]()
    store, ledger = MemoryStore(), MemoryLedger()
    bare = PromotionContext(
        store, ledger, FileLeases(tmp_path / "leases"), dict.fromkeys((Stage.STAGING, Stage.PRODUCTION), (Passes(),))
    )
    targets = Cloud(home.settings)
    parts = assemble(home, lines.append, bare, targets)
    deploy, retire = DeployHook(parts.deployer, config), RetireHook(parts.retirer)
    context = replace(bare, hooks={Stage.PRODUCTION: (deploy, retire), Stage.ARCHIVED: (retire,)})
    parts = WithContext(home, context, targets, lines.append)
    for number, gain in enumerate((20.0, 25.0, -20.0), 1):
        files = tmp_path / f"files{number}"
        files.mkdir()
        (files / "weights").write_text(str(gain))
        version = store.register("colours", files)
        bundle = make_bundle(tmp_path / f"bundle{number}", version=number, gain=gain)
        smoke = tmp_path / f"bundle{number}.smoke"
        smoke.mkdir()
        (smoke / "red.png").write_bytes(picture("red"))
        row = Runner(bundle.onnx, bundle.preprocess).answers([picture("red")])[0].tolist()
        write_json(smoke / "expected.json", {"labels": bundle.labels, "images": [{"file": "red.png", "probabilities": row}]})
        fields = {"path": str(bundle.folder), "megabytes": 0.1, "parity": [], "latency": None}
        ledger.append(Exported(**about(version, digest_version(store, version)), bundle=bundle.index.digest, **fields))
    return World(parts, targets, context, lines)


def until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.1)


def begin(world: World, picture: Callable[..., bytes], number: int, before: int) -> None:
    """A promotion that begins as a canary, once its share arrives."""
    world.promote(number)
    assert world.served() == {"colours-production": before, "colours-production-canary": number}
    until(lambda: number in world.ask(picture("red"), 2))
    assert world.once() == []  # too little was asked


def test_a_good_canary_takes_over_and_a_bad_one_goes_back(world: World, picture: Callable[..., bytes]) -> None:
    world.promote(1)
    assert world.served() == {"colours-production": 1}  # nothing to stand beside: no canary
    begin(world, picture, 2, before=1)
    assert sorted(set(world.ask(picture("red"), 50))) == [1, 2]
    until(lambda: bool(world.once()))
    assert world.served() == {"colours-production": 2}
    assert world.ended() == [(2, "promoted")]
    assert world.once() == []
    begin(world, picture, 3, before=2)
    world.ask(picture("red"), 60)
    until(lambda: bool(world.once()))
    assert world.ended() == [(2, "promoted"), (3, "rolled_back")]
    ended = [row.event for row in world.context.ledger.entries("colours") if isinstance(row.event, CanaryEnded)][-1]
    assert "disagrees" in ended.reason
    assert ended.figures["disagreement"] == 1.0
    assert world.context.store.aliases("colours")["production"] == 2
    assert world.served() == {"colours-production": 2}
    assert set(world.ask(picture("red"), 10)) == {2}
    assert world.once() == []


def test_a_canary_is_brought_back_ends_with_its_stage_and_never_delays_going_back(
    world: World, picture: Callable[..., bytes]
) -> None:
    world.promote(1)
    begin(world, picture, 2, before=1)
    target = world.targets.local()
    target.stop_all()  # the machine was started again
    assert world.once()
    assert world.served() == {"colours-production": 1, "colours-production-canary": 2}
    until(lambda: 2 in world.ask(picture("red"), 2))
    rollback(world.context, "colours", Stage.PRODUCTION, 1, ADA)
    assert world.served() == {"colours-production": 1}
    assert canary_of(world.context.ledger.entries("colours"), Stage.PRODUCTION) is None
    begin(world, picture, 2, before=1)
    world.context.store.delete_alias("colours", "production")
    until(lambda: world.once() != [] and world.served() == {})


def test_a_crash_between_the_verdict_and_going_back_is_taken_up(
    world: World, picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.promote(1)
    begin(world, picture, 3, before=1)
    world.ask(picture("red"), 60)
    with monkeypatch.context() as patch:

        def dies(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("pipelines.deployment.canary.settle.rollback", dies)
        with pytest.raises(KeyboardInterrupt):
            until(lambda: bool(world.once()))
    assert world.ended() == [(3, "rolled_back")]
    assert world.context.store.aliases("colours")["production"] == 3
    assert any("finished going back" in line for line in world.once())
    assert world.context.store.aliases("colours")["production"] == 1
    assert world.ended() == [(3, "rolled_back")]
    started = [row.event for row in world.context.ledger.entries("colours") if isinstance(row.event, CanaryStarted)]
    assert json.loads(started[0].model_dump_json())["rules"]["share"] == 0.5


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
        assert [live.name for live in target.list()] == ["colours-production"]
        assert made.once() == []
        monkeypatch.setattr(target, "delete", _refuses)
        if how == "archived":
            promote(made.context, Ref("colours", 1), Stage.ARCHIVED, ADA)
        else:
            made.context.store.delete_alias("colours", "production")
            made.once()
        assert [live.name for live in target.list()] == ["colours-production"]
        assert made.once() == [], "the wait is not over"
        monkeypatch.setattr("pipelines.deployment.retire.now", lambda: now() + timedelta(minutes=1))
        assert any("no answer" in line for line in made.once())
        monkeypatch.undo()
        monkeypatch.setattr("pipelines.deployment.retire.now", lambda: now() + timedelta(minutes=1))
        assert made.once() == ["colours-production deleted: no version holds its stage"]
        assert target.list() == []
        assert made.once() == []


def _refuses(_: str) -> None:
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


def test_a_spent_budget_brings_nothing_new_and_does_not_keep_the_stage_from_going_back(world: World) -> None:
    world.promote(1)
    set_policy(
        world.context.ledger,
        parse_job({"model": "colours", "train": [{"kind": "torch"}], "budget": {"usd_per_month": 1}}, "job"),
        ADA,
    )
    key = world.context.ledger.entries("colours")[0].event.model_dump(include={"model", "version", "created_ms", "digest"})
    fields = {"seconds": 1.0, "hardware": "local: here", "usd": Decimal(5), "price_as_of": "2026-11-01"}
    world.context.ledger.append(Trained(**key, trainer="torch", run_id="r", dataset="x", **fields))
    promote(world.context, Ref("colours", 2), Stage.STAGING, ADA)
    (failed,) = promote(world.context, Ref("colours", 2), Stage.PRODUCTION, ADA).pending
    assert "budget of colours: is spent: $5.00 of $1.00" in failed.reason
    assert world.served() == {"colours-production": 1}
    world.targets.local().stop_all()
    rollback(world.context, "colours", Stage.PRODUCTION, 1, ADA)
    assert world.served() == {"colours-production": 1}
    override(world.context.ledger, "colours", "once", ADA)
    world.promote(2)
    assert world.served() == {"colours-production": 1, "colours-production-canary": 2}
