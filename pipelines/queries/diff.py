"""Two versions side by side: scores with intervals, data, parameters, sizes, cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from registry.events import Exported, Trained, named
from registry.promotion.evidence import gather
from registry.promotion.verdict import resolve
from registry.records import Evidence, ModelVersion, Record

if TYPE_CHECKING:
    from registry.protocols import Entry, Ledger, Store
    from registry.refs import Ref

Params = Callable[[str], Mapping[str, str]]
"""Id of a run → its parameters."""


class DiffLine(Record):
    """One figure of both."""

    what: str
    a: str
    b: str
    same: bool


def diff(store: Store, ledger: Ledger, params: Params, a: Ref, b: Ref) -> list[DiffLine]:
    """What is known of two versions, from the ledger and their training runs, line by line."""
    left, right = _facts(store, ledger, params, a), _facts(store, ledger, params, b)
    names = [*left, *(name for name in right if name not in left)]
    return [
        DiffLine(what=name, a=left.get(name, ""), b=right.get(name, ""), same=left.get(name) == right.get(name))
        for name in names
    ]


def _facts(store: Store, ledger: Ledger, params: Params, ref: Ref) -> dict[str, str]:
    version = resolve(store, ref)
    entries = [entry for entry in ledger.entries(version.model) if entry.flaw is None]
    digest = next((entry.event.digest for entry in reversed(entries) if _trained(entry, version)), "")
    evidence = gather(entries, version, digest)
    facts = {"version": str(version.ref), "model bytes": digest[:12] or "not recorded"}
    facts |= _scores(evidence) | _training(entries, version) | _export(entries, version, evidence)
    if version.run_id:
        facts |= {f"param {name}": value for name, value in sorted(params(version.run_id).items()) if name != "dataset"}
    return facts


def _trained(entry: Entry, version: ModelVersion) -> bool:
    return isinstance(entry.event, Trained) and entry.event.identity == version.identity


def _scores(evidence: Evidence) -> dict[str, str]:
    facts = {"data set": (evidence.dataset or "not recorded")[:12]}
    if (scored := evidence.evaluation) is None:
        return facts | {"test": "not evaluated"}
    low, high = scored.interval
    facts["top1"] = f"{scored.metrics['top1']:.4f} ({low:.4f} to {high:.4f})"
    facts |= {name: f"{value:.4f}" for name, value in scored.metrics.items() if name != "top1"}
    facts["test images"] = f"{scored.images} of {scored.clips} clips"
    facts |= {f"recall of '{score.label}'": f"{score.recall:.3f}" for score in scored.classes}
    return facts | {f"top1 of slice '{name}'": f"{part.top1:.4f} ({part.images})" for name, part in scored.slices.items()}


def _training(entries: list[Entry], version: ModelVersion) -> dict[str, str]:
    events = [entry.event for entry in entries if _trained(entry, version)]
    if not events or not isinstance(event := events[-1], Trained):
        return {}
    return {
        "trainer": event.trainer,
        "by": named(event.actor, proven=event.proven),
        "training": f"{event.seconds:.0f} s",
        "training cost": f"${event.usd}",
    }


def _export(entries: list[Entry], version: ModelVersion, evidence: Evidence) -> dict[str, str]:
    if not any(isinstance(entry.event, Exported) and entry.event.identity == version.identity for entry in entries):
        return {"bundle": "not exported"}
    facts = {"bundle": f"{evidence.bundle_mb:.2f} MB"} if evidence.bundle_mb is not None else {}
    if evidence.latency:
        facts |= {"p50": f"{evidence.latency.p50_ms:.2f} ms", "p95": f"{evidence.latency.p95_ms:.2f} ms"}
    return facts | {f"parity {figures.variant}": f"{figures.max_abs_diff:.1e}" for figures in evidence.parity}
