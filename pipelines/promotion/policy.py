"""The policy as a decision of its own: set, shown, compared, approved; and what a promotion by a job file asks first.

A job file becomes the policy in two ways alone: by `modelyard policy set`, or together with a promotion that passed by it.
(A first training gives a model that has none its first.) What changes is said in words before, and kept with the row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.identity import whoami
from pipelines.job.differences import target_changes
from pipelines.job.policy import JobChoice, changes_of, document_of, job_of, proposed_policy, set_policy
from registry.errors import BusyError, InputError, NotFoundError, RefusedError
from registry.events import PolicyApproved, PolicySet
from registry.promotion.context import decision_lease
from registry.promotion.policy import JudgingPolicy, fold_policies, policy_entry, policy_of
from registry.refs import endpoint_name
from registry.reports.endpoints import existing_deployments

if TYPE_CHECKING:
    from pipelines.home import Home, Say
    from pipelines.job.jobfile import Job
    from registry.protocols import Entry, Ledger
    from registry.records import Actor
    from registry.stages import Stage


@dataclass(frozen=True)
class Confirmation:
    """What the user agreed to beforehand, and how to ask for the rest: None where nobody can answer.

    `targets` are the kinds of deployment target that may be changed to.
    """

    targets: Sequence[str] = ()
    ask: Callable[[str], bool] | None = None

    def check_targets(self, entry: Entry | None, job: Job) -> None:
        """Deploying elsewhere, or on what is paid for otherwise, is agreed to by itself. Raises InputError without that."""
        changes = target_changes(document_of(entry), job.model_dump(mode="json")) if entry else {}
        for kind, lines in changes.items():
            if kind in self.targets or (self.ask and self.ask(f"Change the deployment target: {'; '.join(lines)}?")):
                continue
            remedy = f"agree to it with --confirm-target {kind}"
            raise InputError(f"deployment target of {job.model}", f"would change ({'; '.join(lines)})", remedy)

    def check_lying(self, choice: JobChoice, changes: Sequence[str], model: str) -> None:
        """A job file that only lies there, and is not the policy, is used where somebody says so. Raises InputError else."""
        if choice.explicit or (self.ask and self.ask(f"{choice.path} differs from the policy. Promote by it?")):
            return
        remedy = f"name it with `--job {choice.path}`, or record it with `modelyard policy set --job {choice.path}`"
        raise InputError(choice.path, f"differs from the policy of {model} ({'; '.join(changes)})", remedy)


def judge_by(
    entries: Sequence[Entry], model: str, choice: JobChoice, actor: Actor, confirmation: Confirmation, say: Say
) -> tuple[Job | None, JudgingPolicy]:
    """The job that a promotion is judged by, and what it proposes as policy. Nothing is recorded, whatever it says."""
    entry = policy_entry(entries)
    current = policy_of(entry)
    base = current.policy_hash if current else ""
    proposed = proposed_policy(entry, choice.job, actor) if choice.job else None
    if choice.job is None or proposed is None:
        return job_of(entry), JudgingPolicy(base)
    if entry is None:
        say(f"{choice.path or 'the job'} becomes the policy of {model}, which has none, if the promotion passes")
    else:
        say_changes(proposed.changes, model, say)
        confirmation.check_lying(choice, proposed.changes, model)
        confirmation.check_targets(entry, choice.job)
    return choice.job, JudgingPolicy(base, proposed)


def say_changes(changes: Sequence[str], model: str, say: Say) -> None:
    """Each difference on a line of its own."""
    for line in changes:
        say(f"policy of {model}: {line}")


def say_unserved(job: Job | None, stage: str, say: Say) -> None:
    """A stage without a deployment has no endpoint of its own; nobody should have to find out."""
    if job is not None and not job.model_dump(include={"deploy"})["deploy"].get(stage):
        say(f"{stage} of {job.model} has no `deploy` in its policy: no endpoint is started for it")


def say_uploads(job: Job | None, stage: Stage, say: Say) -> None:
    """What a promotion will publish, to whom: before anything is decided, for `up` may be the one that deploys."""
    from pipelines.deployment.uploads import future_uploads

    config = job.deploy.of(stage) if job else None
    for line in future_uploads(config) if config else ():
        say(f"{stage} of {job.model if job else ''}: {line}")


def say_left(entries: Sequence[Entry], job: Job, say: Say) -> None:
    """An endpoint whose stage has no deployment any more goes on, and so does its bill: say how it is ended."""
    for event in existing_deployments(entries):
        if not job.model_dump(include={"deploy"})["deploy"].get(event.stage):
            name, end = endpoint_name(event.model, event.stage), f"modelyard promote {event.label} archived"
            say(f"{name} goes on at {event.target}, and nobody looks after it any more; `{end}` deletes it")


def record_policy(home: Home, job: Job, confirmation: Confirmation, say: Say) -> PolicySet | None:
    """Make a job the policy of its model; None where it is that already. The differences are said first."""
    ledger, actor = home.ledger(), whoami(home.settings)
    seen = fold_policies(ledger.entries(job.model)).current
    say_changes(changes_of(seen, job), job.model, say)
    confirmation.check_targets(seen, job)
    with decision_lease(home.leases(ledger), job.model) as held:
        now = fold_policies(ledger.entries(job.model)).current
        if (now.seq if now else 0) != (seen.seq if seen else 0):
            raise BusyError(f"policy of {job.model}", "was set anew meanwhile", "look at the difference again")
        held.check()
        recorded = set_policy(ledger, job, actor)
    say_left(ledger.entries(job.model), job, say)
    return recorded


def policy_row(ledger: Ledger, model: str) -> Entry:
    """The row of the policy in force. Raises NotFoundError where there is none."""
    entry = policy_entry(ledger.entries(model))
    if entry is None:
        raise NotFoundError(f"policy of {model}", "was never set", "set it with `modelyard policy set`")
    return entry


def approve_policy(home: Home, model: str, claimed: str | None) -> PolicyApproved:
    """Record that a person other than who set the policy in force approves of exactly what it says."""
    ledger, actor = home.ledger(), whoami(home.settings, claimed)
    with decision_lease(home.leases(ledger), model):
        entry = policy_row(ledger, model)
        policy = policy_of(entry)
        if policy is None or policy.actor == actor.name:
            remedy = "ask another person" if actor.proven else "ask another person, or name yourself with --as"
            raise RefusedError(f"policy of {model}", f"{actor.name} set it, and cannot approve it", remedy)
        fields = {"actor": actor.name, "proven": actor.proven, "row": entry.seq, "policy_hash": policy.policy_hash}
        event = PolicyApproved(model=model, **fields)  # pyright: ignore[reportArgumentType]
        if event not in [row.event for row in ledger.entries(model) if row.flaw is None]:
            ledger.append(event)
    return event
