"""Two versions side by side: scores with intervals, data, parameters, sizes, cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.events import Exported, Trained, named
from registry.promotion.evidence import gather
from registry.promotion.verdict import resolve
from registry.records import Evidence, ModelVersion, Record

if TYPE_CHECKING:
    from pipelines.home import Workshop
    from registry.promotion.context import PromotionContext
    from registry.protocols import Entry
    from registry.refs import Ref


class Line(Record):
    """One figure of both."""

    what: str
    a: str
    b: str
    same: bool


def diff(workshop: Workshop, a: Ref, b: Ref) -> list[Line]:
    """What is known of two versions, from the ledger and their training runs, line by line."""
    context = workshop.context()
    one, other = _facts(workshop, context, a), _facts(workshop, context, b)
    names = [*one, *(name for name in other if name not in one)]
    return [
        Line(what=name, a=one.get(name, ""), b=other.get(name, ""), same=one.get(name) == other.get(name)) for name in names
    ]


def _facts(workshop: Workshop, context: PromotionContext, ref: Ref) -> dict[str, str]:
    version = resolve(context.store, ref)
    entries = [entry for entry in context.ledger.entries(version.model) if entry.flaw is None]
    digest = next((entry.event.digest for entry in reversed(entries) if _trained(entry, version)), "")
    evidence = gather(entries, version, digest)
    told = {"version": str(version.ref), "model bytes": digest[:12] or "not recorded"}
    told |= _scores(evidence) | _training(entries, version) | _export(entries, version, evidence)
    if version.run_id:
        told |= {f"param {name}": value for name, value in sorted(workshop.params(version.run_id).items()) if name != "dataset"}
    return told


def _trained(entry: Entry, version: ModelVersion) -> bool:
    return isinstance(entry.event, Trained) and entry.event.identity == version.identity


def _scores(evidence: Evidence) -> dict[str, str]:
    told = {"data set": (evidence.dataset or "not recorded")[:12]}
    if (scored := evidence.evaluation) is None:
        return told | {"test": "not evaluated"}
    low, high = scored.interval
    told["top1"] = f"{scored.metrics['top1']:.4f} ({low:.4f} to {high:.4f})"
    told |= {name: f"{value:.4f}" for name, value in scored.metrics.items() if name != "top1"}
    told["test images"] = f"{scored.images} of {scored.clips} clips"
    told |= {f"recall of '{one.label}'": f"{one.recall:.3f}" for one in scored.classes}
    return told | {f"top1 of slice '{name}'": f"{part.top1:.4f} ({part.images})" for name, part in scored.slices.items()}


def _training(entries: list[Entry], version: ModelVersion) -> dict[str, str]:
    found = [entry.event for entry in entries if _trained(entry, version)]
    if not found or not isinstance(event := found[-1], Trained):
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
    told = {"bundle": f"{evidence.bundle_mb:.2f} MB"} if evidence.bundle_mb is not None else {}
    if evidence.latency:
        told |= {"p50": f"{evidence.latency.p50_ms:.2f} ms", "p95": f"{evidence.latency.p95_ms:.2f} ms"}
    return told | {f"parity {one.variant}": f"{one.max_abs_diff:.1e}" for one in evidence.parity}
