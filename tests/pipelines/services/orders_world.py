"""A home whose production goes to clouds: a person's shell and `modelyard up`, each started with or without the keys.

The doubles are asked over HTTP by the real clients; only pauses, MLflow and this machine's own processes are not real.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))
import clouds

from pipelines.bundles.export import ExportHook
from pipelines.deployment.targets import Targets
from pipelines.home import Home
from pipelines.job.deploys import AnyDeploy
from pipelines.job.jobfile import Job, parse_job
from pipelines.job.policy import JobChoice, set_policy
from pipelines.promotion.assemble import JudgingJob, Parts
from pipelines.promotion.decide import policy_context
from pipelines.promotion.follow import deploy_by_policy
from pipelines.queries.status import Row, status
from pipelines.services.reconciler import Reconciler
from registry.events import Deployed, Exported, HookFailed, about
from registry.files import write_json
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import Outcome, PromotionContext
from registry.promotion.promote import promote, rollback
from registry.promotion.state import fold
from registry.promotion.verdict import digest_version
from registry.records import Actor, Evidence, Finding
from registry.refs import NEXT_SUFFIX, Ref
from registry.settings import Settings
from registry.stages import ALIASES, Stage
from serving.inference.runner import Runner
from serving.targets.contract import LiveEndpoint
from serving.targets.huggingface.target import HuggingFaceTarget
from serving.targets.memory.target import MemoryTarget
from serving.targets.runpod.target import RunPodTarget
from serving.targets.waiting import Clock

ADA = Actor("ada", proven=True)
MODEL, NAME = "colours", "colours-production"
KINDS = ("local", "runpod", "huggingface")
VARIABLES = {"runpod": "RUNPOD_API_KEY", "huggingface": "HF_TOKEN"}
DEPLOYS: Mapping[str, Mapping[str, object]] = {
    "local": {"kind": "local", "smoke_images": 1},
    "runpod": {"kind": "runpod", "image": clouds.IMAGE, "bundles": "https://bundles.invalid", "smoke_images": 1},
    "huggingface": {"kind": "huggingface", "repository": "me/colours", "smoke_images": 1},
}
Keys = frozenset[str]
"""The kinds of target whose key a process was started with."""


class Passes:
    """A gate that lets everything pass."""

    def judge(self, evidence: Evidence) -> list[Finding]:
        return [Finding(gate="says", passed=True, text="as told")]


@dataclass(frozen=True)
class OnDoubles(Targets):
    """The targets of a process: built from its settings, as anywhere; only their pauses move the doubles' clocks."""

    world: Any = None

    def local(self) -> Any:
        return self.world.machine

    def build(self, config: AnyDeploy) -> Any:
        if config.kind == "local":
            return self.world.machine
        target, runpod, hub = super().build(config), self.world.runpod, self.world.hub
        if isinstance(target, RunPodTarget):
            target.client._sleep = runpod.clock.advance
            target.store, target.today, target.clock = runpod.shelf, runpod.today, Clock(runpod.clock.now, runpod.clock.advance)
        if isinstance(target, HuggingFaceTarget):
            target.endpoints = replace(target.endpoints, hub=replace(target.endpoints.hub, sleep=hub.clock.advance))
            target.clock = Clock(hub.clock.now, hub.clock.advance)
        return target


class PartsOfExported(Parts):
    """Parts whose versions are exported already, and whose gates let everything pass."""

    def context_for(self, judging: JudgingJob) -> PromotionContext:
        context = super().context_for(judging)
        hooks = {stage: tuple(h for h in some if not isinstance(h, ExportHook)) for stage, some in context.hooks.items()}
        return replace(context, gates=dict.fromkeys(ALIASES, (Passes(),)), hooks=hooks)


class Killed(BaseException):
    """A process ends, whatever it was doing."""


@dataclass
class World:
    """What a home and its clouds are like; `shell` and `up` are two processes."""

    folder: Path
    runpod: clouds.RunPodWorld
    hub: clouds.HuggingFaceWorld
    store: MemoryStore = field(default_factory=MemoryStore)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    machine: MemoryTarget = field(default_factory=MemoryTarget)
    lines: list[str] = field(default_factory=list[str])
    up: Reconciler | None = None
    up_keys: Keys = frozenset()

    def parts(self, keys: Keys) -> Parts:
        """A process that was started with some keys."""
        chosen = {
            "runpod_url": self.runpod.url,
            "hf_url": self.hub.url,
            "hf_endpoints_url": f"{self.hub.url}/ie-api",
            "runpod_api_key": SecretStr("rpa_double") if "runpod" in keys else None,
            "hf_token": SecretStr("hf_double") if "huggingface" in keys else None,
        }
        settings = Settings(home=self.folder / "home").model_copy(update=chosen)
        context = PromotionContext(self.store, self.ledger, FileLeases(self.folder / "leases"))
        return PartsOfExported(Home(settings), context, OnDoubles(settings, self), self.lines.append)

    def home(self, keys: Keys) -> Any:
        """The home as `modelyard up` opens it, with its ledger."""
        return SimpleNamespace(settings=self.parts(keys).targets.settings, ledger=lambda: self.ledger)

    def set_policy(self, kind: str | None) -> None:
        """`modelyard policy set`, with production at a place, or at none."""
        set_policy(self.ledger, self.job(kind), ADA)

    def job(self, kind: str | None) -> Job:
        """A job with production at a place, or at none."""
        deploy = {"production": DEPLOYS[kind]} if kind else {}
        return parse_job({"model": MODEL, "train": [{"kind": "torch"}], "deploy": deploy}, "job")

    def policy(self) -> str | None:
        """Where the policy wants production."""
        hooks = policy_context(self.parts(Keys()), MODEL).hooks.get(Stage.PRODUCTION, ())
        return next((hook.config.kind for hook in hooks if hook.name == "deploy"), None)

    def promote(self, number: int, stage: Stage, keys: Keys) -> Outcome:
        """`modelyard promote`, in a shell."""
        return promote(policy_context(self.parts(keys), MODEL), Ref(MODEL, number), stage, ADA)

    def to_production(self, number: int, keys: Keys) -> Outcome:
        """Both stages, one after the other."""
        self.promote(number, Stage.STAGING, keys)
        return self.promote(number, Stage.PRODUCTION, keys)

    def rollback(self, keys: Keys) -> Outcome:
        """`modelyard rollback`, in a shell."""
        return rollback(policy_context(self.parts(keys), MODEL), MODEL, Stage.PRODUCTION, None, ADA)

    def deploy(self, keys: Keys) -> Deployed:
        """`modelyard deploy colours@production`, in a shell."""
        return deploy_by_policy(self.parts(keys), Ref(MODEL, None, Stage.PRODUCTION), Stage.PRODUCTION, JobChoice())

    def deploy_and_die(self, keys: Keys) -> None:
        """The same, in a shell that is killed once the endpoint answers: what it would have recorded is lost."""
        append = self.ledger.append

        def dies(event: Any) -> Any:
            if isinstance(event, Deployed):
                raise Killed
            return append(event)

        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setattr(self.ledger, "append", dies)
            self.deploy(keys)

    def die_between(self, keys: Keys) -> None:
        """The same, killed before the endpoint elsewhere is deleted."""

        def dies(*_: Any) -> Any:
            raise Killed

        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setattr(Targets, "delete", dies)
            self.deploy(keys)

    def start_up(self, keys: Keys) -> None:
        """`modelyard up` is started, after the one before was stopped."""
        parts = self.parts(keys)
        if self.up is not None:
            parts.home.settings.outages.unlink(missing_ok=True)  # as `up` does when it stops
        self.up, self.up_keys = Reconciler(parts), keys

    def once(self) -> list[str]:
        """A pass of the reconciler that runs; what it remembers as healthy is asked again."""
        assert self.up is not None
        self.up.parts.deployer.healthy_at.clear()
        lines = self.up.once().acted
        self.lines += lines
        return lines

    def at(self, kind: str) -> list[LiveEndpoint]:
        """What stands at a place, asked with every key there is."""
        return self.parts(Keys(KINDS)).targets.of_kind(kind, "me").list()

    def standing(self) -> dict[str, list[tuple[int, str]]]:
        """Place → the versions that stand there under production's name, each with its provider's id."""
        return {kind: [(live.version, live.handle) for live in self.at(kind) if live.name == NAME] for kind in KINDS}

    def rows(self) -> list[Row]:
        """`modelyard status`."""
        return status(self.store, self.ledger, self.parts(Keys()).targets)  # type: ignore[arg-type]

    def holder(self) -> int | None:
        """The version that holds production by decision."""
        holder = fold(self.ledger.entries(MODEL)).holders.get(Stage.PRODUCTION)
        return holder.identity[0] if holder else None

    def failures(self) -> list[HookFailed]:
        """Hooks that failed, by the ledger."""
        return [row.event for row in self.ledger.entries(MODEL) if isinstance(row.event, HookFailed)]

    def trials(self) -> list[str]:
        """Endpoints that were tried out and left."""
        names = [*self.runpod.names(), *self.hub.double.account.endpoints]
        return [name for name in names if name.endswith(NEXT_SUFFIX)]


class Doubles:
    """Both clouds, for any number of worlds, one after the other. No dataclass: Hypothesis would print all of it."""

    def __init__(self, runpod: clouds.RunPodWorld, hub: clouds.HuggingFaceWorld, versions: list[tuple[Path, Any]]) -> None:
        self.runpod, self.hub, self.versions = runpod, hub, versions

    def world(self, folder: Path) -> World:
        """A new home with three exported versions, and clouds that are empty again."""
        self.runpod.double.cloud.endpoints.clear()
        self.hub.double.account.endpoints.clear()
        made = World(folder, self.runpod, self.hub)
        for files, bundle in self.versions:
            version = made.store.register(MODEL, files)
            subject = about(version, digest_version(made.store, version))
            fields = {"path": str(bundle.folder), "megabytes": 0.1, "parity": [], "latency": None}
            made.ledger.append(Exported(**subject, bundle=bundle.index.digest, **fields))
        return made


@contextmanager
def doubles(folder: Path, make_bundle: Callable[..., Any], picture: Callable[..., bytes]) -> Iterator[Doubles]:
    """Both doubles, and three versions that answer alike."""
    versions = [_version(folder, number, make_bundle, picture) for number in (1, 2, 3)]
    with clouds.runpod_world(folder / "runpod") as runpod, clouds.huggingface_world(folder / "hub") as hub:
        yield Doubles(runpod, hub, versions)


def _version(folder: Path, number: int, make_bundle: Callable[..., Any], picture: Callable[..., bytes]) -> tuple[Path, Any]:
    files = folder / f"files{number}"
    files.mkdir(parents=True)
    (files / "weights").write_text(str(number))
    bundle = make_bundle(folder / f"bundle{number}", version=number, gain=20.0 + number)
    smoke = folder / f"bundle{number}.smoke"
    smoke.mkdir()
    (smoke / "red.png").write_bytes(picture("red"))
    row = Runner(bundle.onnx, bundle.preprocess).answers([picture("red")])[0].tolist()
    write_json(smoke / "expected.json", {"labels": bundle.labels, "images": [{"file": "red.png", "probabilities": row}]})
    return files, bundle


def without_key(lines: Iterable[str], kind: str) -> list[str]:
    """The sentences about a key that is not set."""
    return [line for line in lines if VARIABLES[kind] in line]
