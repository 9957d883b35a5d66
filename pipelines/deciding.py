"""Asking the gates without promoting, approving, and going back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.identity import whoami
from pipelines.policy import current_policy, set_policy
from registry.errors import InputError, ModelyardError, NotFoundError, RefusedError
from registry.events import Approved, Trained, about
from registry.judging import Verdict, digest_version, resolve
from registry.promotion import assess
from registry.promotion import promote as promote_version
from registry.promotion import rollback as roll_back
from registry.stages import ALIASES, Stage
from registry.yard import Outcome

if TYPE_CHECKING:
    from pipelines.jobfile import Job
    from pipelines.wiring import Say, Workshop
    from registry.refs import Ref
    from registry.yard import Yard


def promote(workshop: Workshop, ref: Ref, stage: Stage, job: Job | None, say: Say) -> Outcome:
    """Promote by a job, which becomes the model's policy; without one, by the policy that it has."""
    bare, actor = workshop.bare_yard(), whoami(workshop.settings)
    if job is not None:
        resolve(bare.store, ref)  # a name that is not there leaves no policy behind
        set_policy(bare.ledger, job, actor)
    try:
        return promote_version(_yard(workshop, bare, ref.model, say), ref, stage, actor)
    finally:
        _publish(workshop, ref.model, say)  # a refusal is an attempt, too


def gates(workshop: Workshop, ref: Ref, stage: Stage, job: Job | None, say: Say) -> Verdict:
    """Judge a version for a stage, by a job file or by the model's policy. Nothing moves, and no verdict is recorded."""
    _check_stage(stage)
    bare = workshop.bare_yard()
    yard = workshop.yard(job, say, bare) if job else _yard(workshop, bare, ref.model, say)
    version = resolve(yard.store, ref)
    yard.prepare(version, stage)
    return assess(yard, version, stage)


def rollback(workshop: Workshop, model: str, stage: Stage, to: int | None, say: Say) -> Outcome:
    """Return a stage to a version that was ratified for it before."""
    _check_stage(stage)
    bare = workshop.bare_yard()
    bare.store.versions(model)
    return roll_back(_yard(workshop, bare, model, say), model, stage, to, whoami(workshop.settings))


def approve(workshop: Workshop, ref: Ref, stage: Stage, claimed: str | None) -> Approved:
    """Record, signed, that a person other than the author approves exactly these bytes for a stage."""
    _check_stage(stage)
    yard, actor = workshop.bare_yard(), whoami(workshop.settings, claimed)
    version = resolve(yard.store, ref)
    digest = digest_version(yard.store, version)
    rows = [entry.event for entry in yard.ledger.entries(ref.model) if entry.flaw is None]
    these = about(version, digest)
    mine = [event for event in rows if isinstance(event, Trained) and event.subject == these]
    if not mine or not mine[-1].actor:
        raise NotFoundError(version.ref, "nobody knows who trained these bytes", "train it with `modelyard train`")
    if mine[-1].actor == actor.name:
        remedy = "ask somebody else" if actor.proven else "ask somebody else, or name yourself with --as"
        raise RefusedError(version.ref, f"{actor.name} trained it, and an author cannot approve", remedy)
    event = Approved(**these, stage=stage, actor=actor.name, proven=actor.proven)
    if event not in rows:
        yard.ledger.append(event)
    return event


def _yard(workshop: Workshop, bare: Yard, model: str, say: Say) -> Yard:
    """The yard of a model's policy."""
    return workshop.yard(current_policy(bare.ledger.entries(model)), say, bare)


def _publish(workshop: Workshop, model: str, say: Say) -> None:
    """Copy the evidence to MLflow; what goes wrong with the copy changes nothing of the verdict."""
    from pipelines.publish import publish_pending
    from registry.upkeep import View

    try:
        view = View(workshop.ledger())
        view.refresh()
        publish_pending(workshop, view, model)
    except ModelyardError as error:
        say(f"the evidence was not copied to MLflow: {error}")


def _check_stage(stage: Stage) -> None:
    if stage not in ALIASES:
        raise InputError(f"stage '{stage}'", "is not one that a version is judged for", "choose staging or production")
