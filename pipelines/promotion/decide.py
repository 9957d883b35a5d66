"""Asking the gates without promoting, approving, and going back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.identity import whoami
from pipelines.job.policy import current_policy, set_policy
from registry.errors import InputError, ModelyardError, NotFoundError, RefusedError
from registry.events import Approved, Trained, about
from registry.promotion.context import Outcome
from registry.promotion.promote import evaluate_gates
from registry.promotion.promote import promote as promote_version
from registry.promotion.promote import rollback as roll_back
from registry.promotion.verdict import Verdict, digest_version, resolve
from registry.stages import ALIASES, Stage

if TYPE_CHECKING:
    from pipelines.home import Say, Workshop
    from pipelines.job.jobfile import Job
    from registry.promotion.context import PromotionContext
    from registry.refs import Ref


def promote(workshop: Workshop, ref: Ref, stage: Stage, job: Job | None, say: Say) -> Outcome:
    """Promote by a job, which becomes the model's policy; without one, by the policy that it has."""
    bare, actor = workshop.context(), whoami(workshop.settings)
    if job is not None:
        resolve(bare.store, ref)  # a name that is not there leaves no policy behind
        set_policy(bare.ledger, job, actor)
    try:
        return promote_version(_context(workshop, bare, ref.model, say), ref, stage, actor)
    finally:
        _publish(workshop, ref.model, say)  # a refusal is an attempt, too


def gates(workshop: Workshop, ref: Ref, stage: Stage, job: Job | None, say: Say) -> Verdict:
    """Judge a version for a stage, by a job file or by the model's policy. Nothing moves, and no verdict is recorded."""
    _check_stage(stage)
    bare = workshop.context()
    context = workshop.full_context(job, say, bare) if job else _context(workshop, bare, ref.model, say)
    version = resolve(context.store, ref)
    context.measure(version, stage)
    return evaluate_gates(context, version, stage)


def rollback(workshop: Workshop, model: str, stage: Stage, to: int | None, say: Say) -> Outcome:
    """Return a stage to a version that was ratified for it before."""
    _check_stage(stage)
    bare = workshop.context()
    bare.store.versions(model)
    return roll_back(_context(workshop, bare, model, say), model, stage, to, whoami(workshop.settings))


def approve(workshop: Workshop, ref: Ref, stage: Stage, claimed: str | None) -> Approved:
    """Record, signed, that a person other than the author approves exactly these bytes for a stage."""
    _check_stage(stage)
    context, actor = workshop.context(), whoami(workshop.settings, claimed)
    version = resolve(context.store, ref)
    digest = digest_version(context.store, version)
    rows = [entry.event for entry in context.ledger.entries(ref.model) if entry.flaw is None]
    these = about(version, digest)
    mine = [event for event in rows if isinstance(event, Trained) and event.subject == these]
    if not mine or not mine[-1].actor:
        raise NotFoundError(version.ref, "nobody knows who trained these bytes", "train it with `modelyard train`")
    if mine[-1].actor == actor.name:
        remedy = "ask somebody else" if actor.proven else "ask somebody else, or name yourself with --as"
        raise RefusedError(version.ref, f"{actor.name} trained it, and an author cannot approve", remedy)
    event = Approved(**these, stage=stage, actor=actor.name, proven=actor.proven)
    if event not in rows:
        context.ledger.append(event)
    return event


def _context(workshop: Workshop, bare: PromotionContext, model: str, say: Say) -> PromotionContext:
    """The yard of a model's policy."""
    return workshop.full_context(current_policy(bare.ledger.entries(model)), say, bare)


def _publish(workshop: Workshop, model: str, say: Say) -> None:
    """Copy the evidence to MLflow; what goes wrong with the copy changes nothing of the verdict."""
    from pipelines.promotion.publish import publish_pending
    from registry.promotion.due import View

    try:
        view = View(workshop.ledger())
        view.refresh()
        publish_pending(workshop, view, model)
    except ModelyardError as error:
        say(f"the evidence was not copied to MLflow: {error}")


def _check_stage(stage: Stage) -> None:
    if stage not in ALIASES:
        raise InputError(f"stage '{stage}'", "is not one that a version is judged for", "choose staging or production")
