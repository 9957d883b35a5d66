"""Two versions side by side: scores with intervals, data, parameters, sizes, cost.

Scores on different test images are no comparison: that is said first, with both scores on the images that are in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from registry.events import Exported, Trained, named
from registry.promotion.evidence import gather
from registry.promotion.verdict import resolve
from registry.records import Evidence, ModelVersion, Record

if TYPE_CHECKING:
    from pipelines.data.kept import KeptDatasets
    from registry.protocols import Entry, Ledger, Store
    from registry.refs import Ref

Params = Callable[[str], Mapping[str, str]]
"""Id of a run → its parameters."""


class DiffLine(Record):
    """One figure of both. `text`: a sentence about both, for people."""

    what: str
    a: str
    b: str
    same: bool
    text: str = ""


class Side(NamedTuple):
    """What is known of one version: facts to show, and the evidence that the gates would count."""

    facts: dict[str, str]
    evidence: Evidence


def diff(store: Store, ledger: Ledger, params: Params, datasets: KeptDatasets, refs: tuple[Ref, Ref]) -> list[DiffLine]:
    """What is known of two versions, from the ledger and their training runs, line by line.

    Where their scores are of different test images, the first lines say so and compare them on the common ones.
    """
    left, right = (_side(store, ledger, params, ref) for ref in refs)
    names = [*left.facts, *(name for name in right.facts if name not in left.facts)]
    facts = [(name, left.facts.get(name, ""), right.facts.get(name, "")) for name in names]
    lines = [DiffLine(what=name, a=a, b=b, same=name in left.facts and name in right.facts and a == b) for name, a, b in facts]
    return [*_test_sets(left.evidence, right.evidence, datasets), *lines]


def _test_sets(a: Evidence, b: Evidence, datasets: KeptDatasets) -> list[DiffLine]:
    """Nothing where both were scored on one data set, or one of them was not scored."""
    if a.evaluation is None or b.evaluation is None or a.evaluation.dataset == b.evaluation.dataset:
        return []
    from pipelines.queries.common_images import Scored, compare_test_sets

    names = [datasets.name_of(evaluation.dataset) for evaluation in (a.evaluation, b.evaluation)]
    sides = (Scored(a.label, a.evaluation, names[0]), Scored(b.label, b.evaluation, names[1]))
    sets = compare_test_sets(*sides, datasets.manifest)
    lines = [DiffLine(what="test set", a=names[0], b=names[1], same=sets.same, text=sets.text)]
    if (score := sets.score) is None:
        return lines
    images, (low, high) = f"{score.images} of {score.clips} clips", score.interval
    text = f"on them {b.label} less {a.label} is {score.difference:+.4f} (95 % interval {low:+.4f} to {high:+.4f})"
    lines.append(DiffLine(what="common test images", a=images, b=images, same=True))
    figures = f"{score.a:.4f}", f"{score.b:.4f}"
    lines.append(DiffLine(what="top1 on common images", a=figures[0], b=figures[1], same=score.a == score.b, text=text))
    alone = str(score.only_a), str(score.only_b)
    return [*lines, DiffLine(what="common images only this one gets right", a=alone[0], b=alone[1], same=alone[0] == alone[1])]


def _side(store: Store, ledger: Ledger, params: Params, ref: Ref) -> Side:
    version = resolve(store, ref)
    entries = [entry for entry in ledger.entries(version.model) if entry.flaw is None]
    digest = next((entry.event.digest for entry in reversed(entries) if _trained(entry, version)), "")
    evidence = gather(entries, version, digest)
    facts = {"version": str(version.ref), "model bytes": digest[:12] or "not recorded"}
    facts |= _scores(evidence) | _training(entries, version) | _export(entries, version, evidence)
    if version.run_id:
        facts |= {f"param {name}": value for name, value in sorted(params(version.run_id).items()) if name != "dataset"}
    return Side(facts, evidence)


def _trained(entry: Entry, version: ModelVersion) -> bool:
    return isinstance(entry.event, Trained) and entry.event.identity == version.identity


def _scores(evidence: Evidence) -> dict[str, str]:
    facts = {"data set": (evidence.dataset or "not recorded")[:12]}
    if (scored := evidence.evaluation) is None:
        return facts | {"test": "not evaluated"}
    low, high = scored.interval
    facts[scored.headline] = f"{scored.score:.4f} ({low:.4f} to {high:.4f})"
    facts |= {name: f"{value:.4f}" for name, value in scored.metrics.items() if name != scored.headline}
    facts["test images"] = f"{scored.images} of {scored.clips} clips"
    facts |= {f"recall of '{score.label}'": f"{score.recall:.3f}" for score in scored.classes}
    facts |= {f"AP of '{score.label}'": f"{score.ap:.3f}" for score in scored.classes if score.ap is not None}
    parts = {name: part.metrics.get(scored.headline, part.top1) for name, part in scored.slices.items()}
    return facts | {
        f"{scored.headline} of slice '{name}'": f"{value:.4f} ({scored.slices[name].images})" for name, value in parts.items()
    }


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
