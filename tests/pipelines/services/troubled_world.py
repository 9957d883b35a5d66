"""Models in production, each asked back to its version 1 by its alias, in a world where any call for some of them fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.deployment.targets import Targets
from pipelines.home import Home
from pipelines.promotion.assemble import Parts
from pipelines.services.reconciler import Reconciler
from registry.errors import BusyError, InputError, RefusedError, StorageError, UnavailableError, WaitingError
from registry.events import Promoted
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import PromotionContext
from registry.promotion.promote import promote
from registry.promotion.state import fold
from registry.records import Actor, Evidence, Finding
from registry.refs import Ref
from registry.settings import Settings
from registry.stages import Stage
from serving.targets.contract import LiveEndpoint

ADA = Actor("ada", proven=True)
CALLS = ("versions", "aliases", "fetch", "annotate", "set_alias", "hold", "run", "healthy", "delete", "append", "policy")
OURS = (UnavailableError, BusyError, WaitingError, InputError, RefusedError, StorageError)
FOREIGN = (KeyError, OSError, RecursionError, AssertionError, ValueError)
Faults = dict[tuple[str, str], type[Exception]]
"""Model and call → what it raises."""


def raised(kind: type[Exception]) -> Exception:
    return kind("RunPod", "does not answer", "try again later") if kind in OURS else kind("somebody's code")


class Faulty:
    """Whatever it wraps, failing for some models."""

    def __init__(self, real: object, faults: Faults) -> None:
        self._real, self._faults = real, faults

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name not in CALLS:
            return real

        def call(*args: Any, **options: Any) -> Any:
            self.check(name, args[0])
            return real(*args, **options)

        return call

    def check(self, name: str, subject: Any) -> None:
        model = subject if isinstance(subject, str) else subject.model
        if kind := self._faults.get((model.partition("/")[0].removesuffix("-production"), name)):
            raise raised(kind)


class Leases(Faulty):
    """Leases that notice who waits for one."""

    waited = False

    def hold(self, model: str, *, wait: bool = True) -> Any:
        self.check("hold", model)
        self.waited = self.waited or wait
        return self._real.hold(model, wait=wait)  # type: ignore[attr-defined]


class Place(Faulty):
    """Where versions are served: a gate that lets everything pass, and a hook."""

    name = "deploy"

    def __init__(self, faults: Faults) -> None:
        super().__init__(self, faults)
        self.served: dict[str, int] = {}

    def judge(self, evidence: Evidence) -> list[Finding]:
        return [Finding(gate="says", passed=True, text="as told")]

    def missing_key(self, *_: Any) -> None:
        return None

    def run(self, promotion: Promoted) -> None:
        self.check("run", promotion)
        self.served[promotion.model] = promotion.version

    def healthy(self, promotion: Promoted) -> bool:
        self.check("healthy", promotion)
        return self.served.get(promotion.model) == promotion.version


@dataclass
class Machine:
    """Endpoints on this machine whose stages no version holds."""

    faults: Faults
    endpoints: dict[str, LiveEndpoint] = field(default_factory=dict[str, LiveEndpoint])

    def list(self) -> list[LiveEndpoint]:
        return list(self.endpoints.values())

    def delete(self, name: str) -> None:
        Faulty(None, self.faults).check("delete", name)
        self.endpoints.pop(name, None)


@dataclass(frozen=True)
class Places(Targets):
    """The targets of a home: one machine."""

    machine: Any = None

    def local(self) -> Any:
        return self.machine


@dataclass(frozen=True)
class PartsOfModels(Parts):
    """The same gates and hooks for every model."""


@dataclass
class World:
    """The reconciler of a number of models."""

    reconciler: Reconciler
    faults: Faults
    store: MemoryStore
    ledger: MemoryLedger
    leases: Leases
    server: Place
    machine: Machine
    models: list[str]
    lines: list[str]

    def is_settled(self, model: str) -> bool:
        holder = fold(self.ledger.entries(model)).holders[Stage.PRODUCTION]
        return (
            holder.identity[0] == 1 and self.server.served[model] == 1 and f"{model}-production" not in self.machine.endpoints
        )


def make_world(folder: Path, count: int) -> World:
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "weights").write_text("1")
    faults: Faults = {}
    store, ledger, server, machine = MemoryStore(), MemoryLedger(), Place(faults), Machine(faults)
    leases = Leases(FileLeases(folder / "leases"), faults)
    gates = dict.fromkeys((Stage.STAGING, Stage.PRODUCTION), (server,))
    real: Any = Faulty(store, faults)
    context = PromotionContext(real, _Ledger(ledger, faults), leases, gates, {Stage.PRODUCTION: (server,)})  # type: ignore[arg-type]
    models = [f"m{number}" for number in range(count)]
    for model in models:
        for number in (1, 2):
            store.register(model, files)
            for stage in (Stage.STAGING, Stage.PRODUCTION):
                promote(context, Ref(model, number), stage, ADA)
        store.set_alias(model, "production", 1)  # a rollback, in MLflow's UI
        retired = f"{model}-staging"
        fields = {"name": retired, "model": model, "version": 2, "bundle": "b", "url": "memory://", "handle": "1"}
        machine.endpoints[retired] = LiveEndpoint.model_validate(fields)
    lines = list[str]()
    parts = PartsOfModels(Home(Settings(home=folder / "home")), context, Places(Settings(home=folder), machine), lines.append)
    reconciler = Reconciler(parts)
    reconciler.context_of = _policies(context, faults)  # type: ignore[method-assign]
    leases.waited = False
    return World(reconciler, faults, store, ledger, leases, server, machine, models, lines)


class _Ledger(Faulty):
    """A ledger that cannot be written for some models."""

    def append(self, event: Any) -> Any:
        self.check("append", event)
        return self._real.append(event)  # type: ignore[attr-defined]


def _policies(context: PromotionContext, faults: Faults) -> Callable[[str], PromotionContext]:
    def context_of(model: str) -> PromotionContext:
        Faulty(None, faults).check("policy", model)
        return context

    return context_of


@contextmanager
def held(leases: FileLeases, *names: str) -> Any:
    """Other processes' leases."""
    if not names:
        yield
        return
    with leases.hold(names[0]), held(leases, *names[1:]):
        yield
