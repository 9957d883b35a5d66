"""What the pages show, without Streamlit: tables folded from the ledger and from MLflow's runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from registry.events import (
    AnyEvent,
    Approved,
    Exported,
    HookFailed,
    Promoted,
    Published,
    Refused,
    Trained,
    named,
)
from registry.promotion.state import PromotionState
from registry.protocols import Entry
from registry.records import Evidence
from registry.reports.accuracy import own_evaluations
from registry.reports.endpoints import existing_deployments
from registry.reports.reader import LedgerReader
from registry.settings import Settings
from registry.spending import ModelEvent


def load_entries(settings: Settings) -> Sequence[Entry]:
    """The ledger's valid rows, read at once."""
    reader = LedgerReader(settings)
    return reader.head(reader.refresh())


def _states(entries: Iterable[Entry]) -> dict[str, PromotionState]:
    """What was decided about each model."""
    states = defaultdict[str, PromotionState](PromotionState)
    for entry in entries:
        states[entry.event.model].apply(entry)
    return states


def registry_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """One row a version: its stage, its score with its interval, its export, its last outcome."""
    states = _states(entries)
    rows: dict[tuple[str, int, int], dict[str, object]] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, (ModelEvent, Published)):
            continue
        key = (event.model, event.version, event.created_ms)
        row = rows.setdefault(key, {"version": event.label, "stage": states[event.model].stage_of(event.identity).value})
        row |= _facts(event)
    for key, scored in own_evaluations(entries).items():
        low, high = scored.interval
        rows[key] |= {f"test {scored.score_name}": scored.score, "95 % interval": f"{low:.3f} to {high:.3f}"}
    for deployed in existing_deployments(entries):
        rows[deployed.model, deployed.version, deployed.created_ms]["endpoint"] = deployed.url
    columns = ["version", "stage", "trainer", "test top-1", "95 % interval", "p95 ms", "MB", "endpoint", "last"]
    if any("test mAP50-95" in row for row in rows.values()):
        columns.insert(4, "test mAP50-95")
    newest_first = sorted(rows, key=lambda key: (key[0], -key[1], -key[2]))
    return pd.DataFrame([rows[key] for key in newest_first], columns=columns)


def gate_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row a finding of every attempted promotion, newest attempt first."""
    rows = [
        {
            "when": entry.at,
            "version": entry.event.label,
            "stage": entry.event.stage.value,
            "who": named(entry.event.actor, proven=entry.event.proven),
            "outcome": "promoted" if isinstance(entry.event, Promoted) else "refused",
            "gate": finding.gate,
            "passed": finding.passed,
            "figure": finding.figure,
            "limit": finding.limit,
            "finding": finding.text,
        }
        for entry in entries
        if isinstance(entry.event, (Promoted, Refused)) and not getattr(entry.event, "again", None)  # a return judges nothing
        for finding in entry.event.findings
    ]
    columns = ["when", "version", "stage", "who", "outcome", "gate", "passed", "figure", "limit", "finding"]
    return pd.DataFrame(rows, columns=columns).sort_values("when", ascending=False, kind="stable", ignore_index=True)


def approval_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row an approval, newest first."""
    rows = [
        (entry.at, entry.event.label, entry.event.stage.value, named(entry.event.actor, proven=entry.event.proven))
        for entry in entries
        if isinstance(entry.event, Approved)
    ]
    return pd.DataFrame(rows[::-1], columns=["when", "version", "stage", "who"])


def evidence_table(entries: Sequence[Entry], links: Mapping[str, str]) -> pd.DataFrame:
    """One row an attempt, newest first: which bytes, data, policy and measurements its verdict rests on.

    `links` leads from the MLflow run that the evidence was copied to to its page.
    """
    copies = {entry.event.row: entry.event.run_id for entry in entries if isinstance(entry.event, Published)}
    rows = [
        {
            "row": entry.seq,
            "when": entry.at,
            "version": entry.event.label,
            "stage": entry.event.stage.value,
            "outcome": "promoted" if isinstance(entry.event, Promoted) else "refused",
            "model's files": entry.event.digest[:12],
            "data set": (proof.dataset or "")[:12],
            "policy": proof.policy_hash[:12],
            **_measured(proof.evidence),
            "MLflow": links.get(copies.get(entry.seq, "")),
        }
        for entry in entries
        if isinstance(entry.event, (Promoted, Refused)) and (proof := entry.event.proof)
    ]
    first = ["row", "when", "version", "stage", "outcome", "model's files", "data set", "policy"]
    columns = [*first, "held-out", "bundle", "variants", "scans", "approvals", "MLflow"]
    return pd.DataFrame(rows[::-1], columns=columns)


def _measured(known: Evidence) -> dict[str, object]:
    """What of a version's evidence fits into a row."""
    scores = known.evaluation
    scans = [f"{what}: {len(scan.dangerous)} dangerous of {scan.files} files" for what, scan in known.scans.items()]
    return {
        "held-out": f"{scores.images} images of {scores.clips} clips ({scores.split})" if scores else "not evaluated",
        "bundle": (known.bundle or "")[:12],
        "variants": len(known.parity),
        "scans": "; ".join(scans) or "none",
        "approvals": len(known.approvals),
    }


def cost_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row a training run that ended in a version."""
    rows = [
        {
            "when": entry.at,
            "version": entry.event.label,
            "model": entry.event.model,
            "trainer": entry.event.trainer,
            "seconds": entry.event.seconds,
            "hardware": entry.event.hardware,
            "usd": float(entry.event.usd),
            "price as of": entry.event.price_as_of,
        }
        for entry in entries
        if isinstance(entry.event, Trained)
    ]
    columns = ["when", "version", "model", "trainer", "seconds", "hardware", "usd", "price as of"]
    return pd.DataFrame(rows, columns=columns)


def _facts(event: AnyEvent) -> dict[str, object]:
    """What one event adds to its version's row."""
    facts: dict[str, object] = {"last": str(event)}
    if isinstance(event, Trained):
        facts["trainer"] = event.trainer
    elif isinstance(event, Exported):
        facts |= {"p95 ms": event.latency.p95_ms if event.latency else None, "MB": event.megabytes}
    elif isinstance(event, HookFailed):
        facts["last"] = f"pending: {event}"
    return facts
