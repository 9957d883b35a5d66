"""The tags that versions carry for people to read in MLflow: what they must say, by the ledger. Never trusted."""

from __future__ import annotations

from collections.abc import Sequence

from registry.events import Blocked, Promoted, Refused
from registry.promotion.state import fold
from registry.protocols import Entry
from registry.records import ModelVersion
from registry.stages import Stage

RESERVED = "modelyard."
STAGE_TAG = "modelyard.stage"
DIGEST_TAG = "modelyard.digest"
BLOCKED_TAG = "modelyard.blocked"
GATES_TAG = "modelyard.gates."


def reserved(key: str) -> bool:
    """Whether a tag's name is ours to write."""
    return key.lower().startswith(RESERVED)


def tags_of(entries: Sequence[Entry], version: ModelVersion) -> dict[str, str]:
    """Every tag of ours that a version must carry, and no other."""
    tags: dict[str, str] = {}
    for entry in entries:
        event = entry.event
        if entry.flaw is not None or not isinstance(event, (Refused, Promoted, Blocked)):
            continue
        if event.identity != version.identity:
            continue
        if isinstance(event, Blocked):
            tags[BLOCKED_TAG] = event.reason
        elif isinstance(event, Refused) or event.again is None:
            passed = sum(finding.passed for finding in event.findings)
            outcome = "passed" if isinstance(event, Promoted) else "refused"
            tags[GATES_TAG + event.stage] = f"{outcome}, {passed} of {len(event.findings)} findings (ledger row {entry.seq})"
        if isinstance(event, Promoted):
            tags[DIGEST_TAG] = event.digest
            tags.pop(BLOCKED_TAG, None)
    stage = fold(entries).stage_of(version.identity)
    return tags if stage is Stage.NONE else tags | {STAGE_TAG: stage.value}


def changes(entries: Sequence[Entry], version: ModelVersion) -> dict[str, str]:
    """What has to be written so that a version's tags are as they must be; an empty text removes a tag."""
    wanted = tags_of(entries, version)
    stale = {key: "" for key in version.tags if reserved(key) and key not in wanted}
    return stale | {key: value for key, value in wanted.items() if version.tags.get(key) != value}
