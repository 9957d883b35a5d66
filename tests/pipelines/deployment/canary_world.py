"""A stage with a canary in its job, with real endpoints on this machine and no MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.deployment.deploy import DeployHook
from pipelines.deployment.retire import RetireHook
from pipelines.deployment.targets import Targets
from pipelines.home import Home
from pipelines.job.deploys import AnyDeploy
from pipelines.promotion.assemble import Parts, assemble
from pipelines.services.reconciler import Reconciler
from registry.events import CanaryEnded, Event, Exported, about
from registry.files import write_json
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import PromotionContext
from registry.promotion.promote import promote
from registry.promotion.verdict import digest_version
from registry.records import Actor, Evidence, Finding
from registry.refs import Ref
from registry.settings import Settings
from registry.stages import Stage
from serving.canary.rules import CanaryRules
from serving.inference.outputs import detection
from serving.inference.runner import Runner
from serving.targets.contract import Target

ADA = Actor("ada", proven=True)
RULES = CanaryRules(share=0.5, requests=20, max_error_rate=0.05, max_latency_ratio=20, max_disagreement=0.2)


@contextmanager
def killed_before(ledger: MemoryLedger, kind: type[Event]) -> Iterator[None]:
    """The block's process is killed when it is about to record such an event; the block has to come that far."""
    append = ledger.append

    def dies(event: Any) -> Any:
        if isinstance(event, kind):
            raise KeyboardInterrupt
        return append(event)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ledger, "append", dies)
        yield


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
        runner = Runner(bundle.onnx, bundle.preprocess)
        row = runner.answers([picture("red")])[0].tolist()
        if runner.detects:
            row = list(detection(bundle.labels, row)["probabilities"].values())
        images = [{"file": "red.png", "probabilities": row}]
        expected = {"labels": bundle.labels, "images": images, "least": 0.25 if runner.detects else 0.0}
        write_json(smoke / "expected.json", expected)
        fields = {"path": str(bundle.folder), "megabytes": 0.1, "parity": [], "latency": None}
        ledger.append(Exported(**about(version, digest_version(store, version)), bundle=bundle.index.digest, **fields))
    return World(parts, targets, context, lines)
