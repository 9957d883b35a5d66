"""What proves a version, as a file, and whether it holds now: the ledger's chain and signatures, and the bundle's files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from registry.errors import ModelyardError
from registry.events import Exported, Promoted, Refused
from registry.opening import reading_ledger_of
from registry.protocols import Entry
from registry.settings import Settings
from serving.bundle.bundle import open_bundle


class Check(NamedTuple):
    """One thing that was verified, at a moment: what holds, or why it does not."""

    holds: bool
    text: str
    at: datetime


def judged_versions(entries: Iterable[Entry]) -> list[str]:
    """Versions that the gates judged, the newest attempt first."""
    rows = (entry.event.label for entry in reversed(list(entries)) if isinstance(entry.event, (Promoted, Refused)))
    return list(dict.fromkeys(rows))


def evidence_json(entries: Iterable[Entry], label: str) -> str:
    """Every attempt of a version with its row, findings, policy and digests, the oldest first, as JSON."""
    attempts = [
        {"row": entry.seq, "at": entry.at.isoformat(), "event": entry.event.model_dump(mode="json")}
        for entry in entries
        if isinstance(entry.event, (Promoted, Refused)) and entry.event.label == label
    ]
    return json.dumps({"version": label, "attempts": attempts}, indent=2, ensure_ascii=False) + "\n"


def verify(settings: Settings, entries: Sequence[Entry], label: str, at: datetime) -> list[Check]:
    """Check the ledger, and the newest bundle of a version where it lies on this machine. Nothing is written."""
    checks = [_ledger(settings, at)]
    exported = [row.event for row in entries if isinstance(row.event, Exported) and row.event.label == label]
    if not exported:
        return [*checks, Check(True, f"{label} was not exported: there is no bundle to check", at)]
    return [*checks, _bundle(settings, exported[-1], at)]


def _ledger(settings: Settings, at: datetime) -> Check:
    try:
        rows = reading_ledger_of(settings).verify()
    except ModelyardError as error:
        return Check(False, str(error), at)
    return Check(True, f"ledger: {rows:,} rows, each with the hash of the one before and a valid signature", at)


def _bundle(settings: Settings, event: Exported, at: datetime) -> Check:
    folder = settings.bundles / event.bundle
    if not folder.is_dir():
        return Check(False, f"bundle {event.bundle[:12]} is not on this machine", at)
    try:
        bundle = open_bundle(folder)
    except ModelyardError as error:
        return Check(False, str(error), at)
    if bundle.index.digest != event.bundle:
        return Check(False, f"bundle {event.bundle[:12]} has the digest {bundle.index.digest[:12]}", at)
    return Check(True, f"bundle {event.bundle[:12]}: {len(bundle.index.files)} files have the digests that were ratified", at)
