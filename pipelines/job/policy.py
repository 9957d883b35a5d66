"""The policy of a model: the job that it is judged, exported and deployed by, as the ledger keeps it.

Which row counts is decided in `registry/promotion/policy.py`, for everybody. Here it is read as a job, and set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.job.differences import differences
from registry.errors import InputError, ModelyardError
from registry.events import PolicySet
from registry.promotion.policy import check_may_set, fold_policies, policy_entry, policy_of
from registry.promotion.verdict import hash_of

if TYPE_CHECKING:
    from pipelines.job.jobfile import Job
    from registry.protocols import Entry, Ledger
    from registry.records import Actor


@dataclass(frozen=True)
class JobChoice:
    """The job that a command goes by. None: the policy. `explicit`: it was named, and does not only lie there."""

    job: Job | None = None
    path: Path | None = None
    explicit: bool = False


def current_policy(entries: Sequence[Entry]) -> Job | None:
    """The job in force. `entries` are a model's rows. Raises IntegrityError where the newest row has a flaw."""
    return job_of(policy_entry(entries))


def job_of(entry: Entry | None) -> Job | None:
    """The job that a row has set."""
    from pipelines.job.jobfile import parse_job

    policy = policy_of(entry)
    if entry is None or policy is None:
        return None
    return parse_job(policy.job, f"policy of {policy.model} (ledger row {entry.seq})", stored=True)


def changes_of(entry: Entry | None, job: Job) -> list[str]:
    """What a job changes about the policy of a row, in words; nothing where there is none."""
    return differences(document_of(entry), job.model_dump(mode="json")) if entry else []


def document_of(entry: Entry | None) -> dict[str, Any]:
    """A row's job with every default of today; as it was written where it cannot be read here, such as another package's."""
    policy = policy_of(entry)
    try:
        job = job_of(entry)
    except ModelyardError:
        job = None
    return job.model_dump(mode="json") if job else policy.job if policy else {}


def proposed_policy(entry: Entry | None, job: Job, actor: Actor, *, first: bool = False) -> PolicySet | None:
    """What is to be recorded so that a job becomes the policy after a row's; None where it is that already."""
    document = job.model_dump(mode="json")
    if entry is not None and document_of(entry) == document:
        return None
    fields = {"actor": actor.name, "proven": actor.proven, "changes": changes_of(entry, job), "first": first}
    return PolicySet(model=job.model, job=document, policy_hash=hash_of(document), **fields)  # pyright: ignore[reportArgumentType]


def set_policy(ledger: Ledger, job: Job, actor: Actor, *, first: bool = False) -> PolicySet | None:
    """Make a job the policy of its model; one that is it already is not written again.

    `first`: a training's, which counts only where no policy was set before. Raises RefusedError where the policy in force
    does not allow it. A row with a flaw that came last is followed by one that counts.
    """
    entries = ledger.entries(job.model)
    state = fold_policies(entries)
    proposed = proposed_policy(None if state.flawed else state.current, job, actor, first=first)
    if proposed is None or (first and state.current is not None):
        return None
    check_may_set(entries, proposed, ledger.signer)
    ledger.append(proposed)
    return proposed


def check_by_policy(choice: JobChoice, changes: Sequence[str], purpose: str) -> None:
    """Refuse a job that says something else than the policy of what is about to be done by it."""
    if changes:
        why = f"is not the policy of {choice.job.model if choice.job else 'the model'} ({'; '.join(changes)})"
        left = "leave --job out" if choice.explicit else f"move {choice.path} away"
        remedy = f"record it first, `modelyard policy set --job {choice.path}`, or {left} to {purpose} by the policy"
        raise InputError(choice.path, why, remedy)
