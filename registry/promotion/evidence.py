"""Evidence: what the ledger knows about a version's exact bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from registry.events import AnyEvent, Approved, DataChecked, Evaluated, Exported, Quoted, Scanned, Trained, about
from registry.promotion.policy import fold_policies, policy_of
from registry.protocols import Entry
from registry.records import Approval, Evaluation, Evidence, ModelVersion, Rival
from registry.spending import CurveMeasured, ModelEvent
from registry.stages import Stage


def gather(
    entries: Iterable[Entry], version: ModelVersion, digest: str, stage: Stage | None = None, rival: Rival | None = None
) -> Evidence:
    """Fold a model's ledger rows into evidence; rows about other bytes, or an older namesake, do not count.

    Nor does a row that was changed or that no trusted key signed, nor a score on anything but the test split of the
    data set that the version was trained on: of any other images nobody can say that training never saw them. The
    rival is scored on the candidate's own held-out images.
    """
    rows = list(entries)
    folded = _Folded(stage)
    for entry in rows:
        event = entry.event
        ours = not isinstance(event, ModelEvent) and (*event.identity, event.digest) == (*version.identity, digest)
        if ours and entry.flaw is None:
            folded.add(event)
    folded.drop_stale_slices(rows)
    folded.add_gains(rows)
    if stage is not None:
        folded.facts["stage"] = stage.value
    if rival is not None:
        folded.facts["rival"] = _scored(rows, rival, folded.trained_on)
    return Evidence.model_validate(about(version, digest) | folded.facts)


class _Folded:
    """Facts, one event after the other; a later one replaces an earlier one of its kind."""

    def __init__(self, stage: Stage | None) -> None:
        self.stage = stage
        self.facts: dict[str, object] = {}
        self.scans: dict[str, object] = {}
        self.approvals: list[Approval] = []
        self.trained_on: str | None = None

    def drop_stale_slices(self, rows: Sequence[Entry]) -> None:
        """A slice counts only while the policy still means the same images by its name."""
        scored = self.facts.get("evaluation")
        policy = policy_of(fold_policies(rows).current)
        if isinstance(scored, Evaluation) and policy:
            data: dict[str, Any] = policy.job.get("data", {})
            patterns: dict[str, str] = data.get("slices", {})
            fresh = {name: part for name, part in scored.slices.items() if patterns.get(name) == part.pattern}
            self.facts["evaluation"] = scored.model_copy(update={"slices": fresh})

    def add_gains(self, rows: Sequence[Entry]) -> None:
        """What more clips are worth, as the last curve says that was measured on the data set trained on."""
        for entry in rows:
            event = entry.event
            if isinstance(event, CurveMeasured) and entry.flaw is None and event.dataset == self.trained_on:
                self.facts["gains"] = event.gains

    def add(self, event: AnyEvent) -> None:
        """Take one event in."""
        match event:
            case Trained():
                self.trained_on = event.dataset
                self.facts |= {"train_usd": event.usd, "dataset": event.dataset, "author": event.actor or None}
            case Evaluated() if (event.evaluation.split, event.evaluation.dataset) == ("test", self.trained_on):
                self.facts["evaluation"] = event.evaluation
            case DataChecked() if event.verdict.dataset == self.trained_on:
                self.facts["data"] = event.verdict
            case Exported():
                self.facts |= {"parity": event.parity, "latency": event.latency, "bundle": event.bundle}
                self.facts |= {"bundle_mb": event.megabytes, "card_missing": event.card_missing}
                self.scans.pop("bundle", None)  # a scan of an older bundle says nothing about this one
            case Scanned():
                self.scans[event.what] = event.scan
                self.facts["scans"] = dict(self.scans)
            case Quoted() if event.stage == self.stage:
                self.facts |= {"serve_usd_per_month": event.usd_per_month, "serve_quote": event.basis}
            case Approved() if event.stage == self.stage:
                self.approvals.append(Approval(actor=event.actor, proven=event.proven))
                self.facts["approvals"] = list(self.approvals)
            case _:
                pass


def _scored(entries: Sequence[Entry], rival: Rival, dataset: str | None) -> Rival:
    """The rival with its latest score on the test split of a data set."""
    for entry in reversed(entries):
        event = entry.event
        if not isinstance(event, Evaluated) or event.evaluation.split != "test" or event.evaluation.dataset != dataset:
            continue
        if (*event.identity, event.digest) == (rival.version, rival.created_ms, rival.digest) and entry.flaw is None:
            return rival.model_copy(update={"evaluation": event.evaluation})
    return rival
