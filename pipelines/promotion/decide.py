"""Promoting, asking the gates without promoting, approving, and going back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.identity import whoami
from pipelines.job.policy import JobChoice
from pipelines.promotion.assemble import JudgingJob, Parts, assemble, recorded_policy
from pipelines.promotion.policy import Confirmation, judge_by, say_unserved, say_uploads
from pipelines.promotion.publish import publish_pending
from registry.errors import ModelyardError, NotFoundError, RefusedError
from registry.events import Approved, Trained, about
from registry.promotion.context import Outcome, PromotionContext
from registry.promotion.due import View
from registry.promotion.policy import check_may_set
from registry.promotion.promote import promote as promote_version
from registry.promotion.promote import rollback as roll_back
from registry.promotion.recover import deciding
from registry.promotion.verdict import Verdict, digest_version, evaluate_gates, manifest_version, resolve
from registry.stages import Stage, check_alias_stage

if TYPE_CHECKING:
    from pipelines.home import Home, Say
    from registry.records import Actor, ModelVersion
    from registry.refs import Ref


def promote(home: Home, ref: Ref, stage: Stage, choice: JobChoice, confirmation: Confirmation, say: Say) -> Outcome:
    """Promote by the model's policy, or by a job file, which becomes the policy together with a promotion that passes."""
    parts, actor = assemble(home, say), whoami(home.settings)
    if choice.job and stage is not Stage.ARCHIVED:
        resolve(parts.context.store, ref)  # nobody is asked about the policy of a name that is not there
    try:
        judging = _judging_by(parts, ref.model, stage, choice, confirmation, actor)
        context = parts.context_for(judging)
        if context.policy and context.policy.proposed:  # before anything is measured, and once more with the verdict
            check_may_set(judging.entries, context.policy.proposed, context.ledger.signer)
        return promote_version(context, ref, stage, actor)
    finally:
        _publish(parts, ref.model)  # a refusal is an attempt, too


def _judging_by(
    parts: Parts, model: str, stage: Stage, choice: JobChoice, confirmation: Confirmation, actor: Actor
) -> JudgingJob:
    """What a promotion is judged by. Giving a stage up is judged by nothing, so it needs no policy."""
    if stage is Stage.ARCHIVED:
        return JudgingJob()
    entries = parts.context.ledger.entries(model)
    job, policy = judge_by(entries, model, choice, actor, confirmation, parts.say)
    say_unserved(job, stage, parts.say)
    say_uploads(job, stage, parts.say)
    return JudgingJob(job, policy, entries)


def gates(home: Home, ref: Ref, stage: Stage, choice: JobChoice, say: Say) -> Verdict:
    """Judge a version for a stage, by a job file or by the model's policy. Nothing moves, and no verdict is recorded."""
    check_alias_stage(stage)
    parts = assemble(home, say)
    agreed = Confirmation(ask=lambda _: True)  # what is only judged changes no policy and no endpoint
    context = parts.context_for(_judging_by(parts, ref.model, stage, choice, agreed, whoami(home.settings)))
    version = resolve(context.store, ref)
    context.measure(version, stage)
    return evaluate_gates(context, version, stage, manifest_version(context.store, version))


def rollback(home: Home, model: str, stage: Stage, to: int | None, say: Say) -> Outcome:
    """Go back further among the versions that served a stage, or to the one that is named. Nothing is judged again."""
    check_alias_stage(stage)
    parts = assemble(home, say)
    parts.context.store.versions(model)
    try:
        return roll_back(policy_context(parts, model), model, stage, to, whoami(home.settings))
    finally:
        parts.describe(model)


def approve(home: Home, ref: Ref, stage: Stage, claimed: str | None) -> Approved:
    """Record, signed, that a person other than the author approves exactly these bytes for a stage."""
    check_alias_stage(stage)
    context, actor = home.context(), whoami(home.settings, claimed)
    version = resolve(context.store, ref)
    digest = digest_version(context.store, version)
    these = about(version, digest)
    with deciding(context, ref.model):
        return _approve(context, version, these, stage, actor)


def _approve(context: PromotionContext, version: ModelVersion, these: dict[str, Any], stage: Stage, actor: Actor) -> Approved:
    rows = [entry.event for entry in context.ledger.entries(version.model) if entry.flaw is None]
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
    return parts.context_for(recorded_policy(parts.context.ledger.entries(model)))


def _publish(parts: Parts, model: str) -> None:
    """Copy the evidence to MLflow; what goes wrong with the copy changes nothing of the verdict."""
    ledger = parts.context.ledger
    try:
        view = View(ledger)
        view.refresh()
        publish_pending(ledger, parts.home.tracker, view, model)
    except ModelyardError as error:
        parts.say(f"the evidence could not be copied to MLflow: {error}")
    parts.describe(model)
