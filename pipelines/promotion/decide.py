"""Promoting, asking the gates without promoting, approving, and going back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.identity import whoami
from pipelines.job.policy import current_policy, set_policy
from pipelines.promotion.assemble import Parts, assemble
from pipelines.promotion.publish import publish_pending
from registry.errors import InputError, ModelyardError, NotFoundError, RefusedError
from registry.events import Approved, Trained, about
from registry.promotion.context import Outcome, PromotionContext
from registry.promotion.due import View
from registry.promotion.promote import promote as promote_version
from registry.promotion.promote import rollback as roll_back
from registry.promotion.verdict import Verdict, digest_version, evaluate_gates, resolve
from registry.stages import ALIASES, Stage

if TYPE_CHECKING:
    from pipelines.home import Home, Say
    from pipelines.job.jobfile import Job
    from registry.refs import Ref


def promote(home: Home, ref: Ref, stage: Stage, job: Job | None, say: Say) -> Outcome:
    """Promote by a job, which becomes the model's policy; without one, by the policy that it has."""
    parts, actor = assemble(home, say), whoami(home.settings)
    if job is not None:
        resolve(parts.context.store, ref)  # a name that is not there leaves no policy behind
        set_policy(parts.context.ledger, job, actor)
    try:
        return promote_version(policy_context(parts, ref.model), ref, stage, actor)
    finally:
        _publish(parts, ref.model)  # a refusal is an attempt, too


def gates(home: Home, ref: Ref, stage: Stage, job: Job | None, say: Say) -> Verdict:
    """Judge a version for a stage, by a job file or by the model's policy. Nothing moves, and no verdict is recorded."""
    _check_stage(stage)
    parts = assemble(home, say)
    context = parts.context_for(job) if job else policy_context(parts, ref.model)
    version = resolve(context.store, ref)
    context.measure(version, stage)
    return evaluate_gates(context, version, stage)


def rollback(home: Home, model: str, stage: Stage, to: int | None, say: Say) -> Outcome:
    """Return a stage to a version that was ratified for it before."""
    _check_stage(stage)
    parts = assemble(home, say)
    parts.context.store.versions(model)
    return roll_back(policy_context(parts, model), model, stage, to, whoami(home.settings))


def approve(home: Home, ref: Ref, stage: Stage, claimed: str | None) -> Approved:
    """Record, signed, that a person other than the author approves exactly these bytes for a stage."""
    _check_stage(stage)
    context, actor = home.context(), whoami(home.settings, claimed)
    version = resolve(context.store, ref)
    digest = digest_version(context.store, version)
    rows = [entry.event for entry in context.ledger.entries(ref.model) if entry.flaw is None]
    these = about(version, digest)
    mine = [event for event in rows if isinstance(event, Trained) and event.subject == these]
    if not mine or not mine[-1].actor:
        raise NotFoundError(version.ref, "it is not recorded who trained these bytes", "train it with `modelyard train`")
    if mine[-1].actor == actor.name:
        remedy = "ask another person" if actor.proven else "ask another person, or name yourself with --as"
        raise RefusedError(version.ref, f"{actor.name} trained it, and an author cannot approve", remedy)
    event = Approved(**these, stage=stage, actor=actor.name, proven=actor.proven)
    if event not in rows:
        context.ledger.append(event)
    return event


def policy_context(parts: Parts, model: str) -> PromotionContext:
    """The context of a model's policy."""
    return parts.context_for(current_policy(parts.context.ledger.entries(model)))


def _publish(parts: Parts, model: str) -> None:
    """Copy the evidence to MLflow; what goes wrong with the copy changes nothing of the verdict."""
    ledger = parts.context.ledger
    try:
        view = View(ledger)
        view.refresh()
        publish_pending(ledger, parts.home.tracker, view, model)
    except ModelyardError as error:
        parts.say(f"the evidence could not be copied to MLflow: {error}")


def _check_stage(stage: Stage) -> None:
    if stage not in ALIASES:
        raise InputError(f"stage '{stage}'", "is not one that a version is judged for", "choose staging or production")
