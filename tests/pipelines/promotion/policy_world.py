"""A home without MLflow: versions in memory, a real signed ledger, and evidence as training would leave it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.home import Home
from pipelines.job.jobfile import Job, parse_job
from pipelines.job.policy import JobChoice
from pipelines.promotion.assemble import guarded_context
from pipelines.promotion.decide import promote
from pipelines.promotion.policy import Confirmation
from registry.errors import UnavailableError
from registry.events import Evaluated, Trained, about
from registry.memory import MemoryStore
from registry.mlflow.server.admission import Admission
from registry.promotion.context import Outcome
from registry.promotion.verdict import digest_version
from registry.records import Actor, Evaluation
from registry.refs import Ref
from registry.settings import Settings
from registry.stages import Stage

NOBODY = Actor("unknown, over MLflow")


class PlainStore(MemoryStore):
    """As MLflow's server sees its own."""

    def is_prompt(self, model: str) -> bool:
        return False


def job(at_least: float = 0.9, **changes: Any) -> Job:
    gates = {stage: [{"kind": "metric", "name": "top1", "at_least": at_least}] for stage in ("staging", "production")}
    raw = {"model": "hand", "train": [{"kind": "torch"}], "export": [{"kind": "onnx", "required": False}], "gates": gates}
    return parse_job(raw | changes, "job")


@dataclass
class World:
    """Two versions of `hand`: the first scores 0.95, the second 0.5."""

    home: Home
    store: PlainStore
    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def kinds(self) -> list[str]:
        kept = ("trained", "evaluated", "hook_done", "hook_failed", "exported", "published", "scanned", "quoted")
        return [row.event.kind for row in self.home.ledger().entries("hand") if row.event.kind not in kept]

    def promote(
        self, number: int, by: Job | None = None, *, explicit: bool = True, stage: Stage = Stage.STAGING, **agreed: Any
    ) -> Outcome:
        choice = JobChoice(by, Path("modelyard.yaml"), explicit=explicit) if by else JobChoice()
        return promote(self.home, Ref("hand", number), stage, choice, Confirmation(**agreed), self.say)

    def alias(self, number: int, stage: Stage = Stage.STAGING) -> None:
        """Whoever reaches the server sets an alias."""
        context, ledger = self.home.context(), self.home.ledger()

        def context_of(model: str):
            return guarded_context(context, self.home, ledger.entries(model))

        begun = Admission(self.store, ledger, context_of, lambda: NOBODY).set_registered_model_alias("hand", stage, number)
        self.store.set_alias("hand", stage.value, number)
        if begun:
            begun.finish()


def make_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    store, home = PlainStore(), Home(Settings(home=tmp_path / "home"))

    def no_tracker(self: Home, experiment: str) -> None:
        raise UnavailableError("MLflow", "is not here", "nothing to do")

    monkeypatch.setattr(Home, "store", lambda self: store)
    monkeypatch.setattr(Home, "tracker", no_tracker)
    monkeypatch.setattr("registry.promotion.promote.run_hooks", lambda *_: [])
    for top1 in (0.95, 0.5):
        files = tmp_path / f"files {top1}"
        files.mkdir()
        (files / "weights").write_text(str(top1))
        version = store.register("hand", files)
        key = about(version, digest_version(store, version))
        spent = {"seconds": 1, "hardware": "h", "usd": Decimal("0.1"), "price_as_of": "x", "actor": "ada"}
        facts = {"images": 10, "clips": 5, "classes": [], "confusion": [], "interval": (0.4, 1.0), "metrics": {"top1": top1}}
        home.ledger().append(Trained(**key, trainer="torch", run_id="r", dataset="d", **spent))
        home.ledger().append(Evaluated(**key, evaluation=Evaluation(dataset="d", split="test", **facts)))
    return World(home, store)
