"""The policy of a model: the job that it is judged, exported and deployed by, as the ledger keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from registry.events import PolicySet
from registry.promotion.verdict import hash_of

if TYPE_CHECKING:
    from pipelines.job.jobfile import Job
    from registry.protocols import Entry, Ledger
    from registry.records import Actor


def current_policy(entries: Sequence[Entry]) -> Job | None:
    """The job that was set last, by a row that counts."""
    from pipelines.job.jobfile import parse_job

    for entry in reversed(entries):
        if isinstance(entry.event, PolicySet) and entry.flaw is None:
            return parse_job(entry.event.job, f"policy of {entry.event.model} (ledger row {entry.seq})")
    return None


def set_policy(ledger: Ledger, job: Job, actor: Actor) -> None:
    """Make a job the policy of its model; one that is it already is not written again."""
    document = job.model_dump(mode="json")
    now = current_policy(ledger.entries(job.model))
    if now is None or now.model_dump(mode="json") != document:
        ledger.append(
            PolicySet(model=job.model, actor=actor.name, proven=actor.proven, job=document, policy_hash=hash_of(document))
        )
