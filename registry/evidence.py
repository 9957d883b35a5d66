"""Evidence: what the ledger knows about a version's exact bytes."""

from __future__ import annotations

from collections.abc import Iterable

from registry.events import Evaluated, Exported, Trained, about
from registry.protocols import Entry
from registry.records import Evidence, ModelVersion


def gather(entries: Iterable[Entry], version: ModelVersion, digest: str) -> Evidence:
    """Fold a model's ledger rows into evidence; rows about other bytes, or an older namesake, do not count.

    Nor does a score on anything but the test split of the data set that the version was trained on: of any other
    images nobody can say that training never saw them.
    """
    facts: dict[str, object] = {}
    trained_on: str | None = None
    for entry in entries:
        event = entry.event
        if (event.version, event.created_ms, event.digest) != (version.version, version.created_ms, digest):
            continue
        if isinstance(event, Evaluated):
            if (event.evaluation.split, event.evaluation.dataset) == ("test", trained_on):
                facts["evaluation"] = event.evaluation
        elif isinstance(event, Exported):
            facts |= {"parity": event.parity, "latency": event.latency, "bundle": event.bundle}
            facts["bundle_mb"] = event.megabytes
        elif isinstance(event, Trained):
            facts["train_usd"] = event.usd
            trained_on = event.dataset
    return Evidence.model_validate(about(version, digest) | facts)
