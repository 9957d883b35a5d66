"""Evidence: what the ledger knows about a version's exact bytes."""

from __future__ import annotations

from collections.abc import Iterable

from registry.events import Evaluated, Exported, Trained, about
from registry.protocols import Entry
from registry.records import Evidence, ModelVersion


def gather(entries: Iterable[Entry], version: ModelVersion, digest: str) -> Evidence:
    """Fold a model's ledger rows into evidence; rows about other bytes, or an older namesake, do not count."""
    facts: dict[str, object] = {}
    for entry in entries:
        event = entry.event
        if (event.version, event.created_ms, event.digest) != (version.version, version.created_ms, digest):
            continue
        if isinstance(event, Evaluated):
            facts["evaluation"] = event.evaluation
        elif isinstance(event, Exported):
            facts |= {"parity": event.parity, "latency": event.latency, "bundle": event.bundle}
            facts["bundle_mb"] = event.megabytes
        elif isinstance(event, Trained):
            facts["train_usd"] = event.usd
    return Evidence.model_validate(about(version, digest) | facts)
