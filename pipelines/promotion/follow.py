"""What follows a promotion, done by hand: deploying and exporting by the model's policy.

The reconciler deploys by the policy: what was deployed by another job it would undo within seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.deployment.outages import read_outages
from pipelines.deployment.targets import account_of
from pipelines.job.deploys import LocalDeploy
from pipelines.job.differences import deploy_differences, export_differences
from pipelines.job.policy import JobChoice, check_by_policy, document_of, job_of
from registry.events import now
from registry.promotion.hooks import record_done
from registry.promotion.policy import policy_entry
from registry.promotion.state import fold
from registry.refs import endpoint_name
from registry.reports.attention import DEPLOY

if TYPE_CHECKING:
    from pipelines.deployment.plan import DeployPlan
    from pipelines.job.deploys import AnyDeploy
    from pipelines.job.jobfile import Job
    from pipelines.promotion.assemble import Parts
    from registry.events import Deployed, Exported
    from registry.refs import Ref
    from registry.stages import Stage


def deploy_by_policy(parts: Parts, ref: Ref, stage: Stage, choice: JobChoice) -> Deployed:
    """Serve a version that holds a stage. Raises InputError for a job that deploys it otherwise than the policy."""
    with parts.context.working(ref.model):
        config = _checked_config(parts, ref, stage, choice)
        event = parts.deployer.deploy(config, ref, stage)
        record_done(parts.context, fold(parts.context.ledger.entries(ref.model)).holders[stage], DEPLOY)
        for outage in read_outages(parts.targets.settings.outages, now()):
            if outage.variable and (outage.kind, outage.owner) == account_of(config):
                parts.say(f"{endpoint_name(ref.model, stage)} answers, and nobody looks after it: {outage.reason}")
    parts.describe(ref.model)
    return event


def plan_by_policy(parts: Parts, ref: Ref, stage: Stage, choice: JobChoice) -> DeployPlan:
    """What that would do; nothing is done. Raises what deploying would raise before it asks the target."""
    return parts.deployer.plan(_checked_config(parts, ref, stage, choice), ref, stage)


def _checked_config(parts: Parts, ref: Ref, stage: Stage, choice: JobChoice) -> AnyDeploy:
    """How the policy deploys a stage, or the job where there is no policy. Raises InputError for a job that differs from it."""
    entry = policy_entry(parts.context.ledger.entries(ref.model))
    if entry is not None and choice.job is not None:
        lines = deploy_differences(document_of(entry), choice.job.model_dump(mode="json"), stage.value)
        check_by_policy(choice, lines, "deploy")
    return _config_of(parts, job_of(entry) or choice.job, stage)


def _config_of(parts: Parts, job: Job | None, stage: Stage) -> AnyDeploy:
    """A job's deployment of a stage; without one it is a process on this machine, which is said."""
    config = job.deploy.of(stage) if job else None
    if config is None:
        parts.say(f"no job says how {stage} is deployed: it becomes a process on this machine (kind: local)")
    return config or LocalDeploy()


def export_by_policy(parts: Parts, ref: Ref, choice: JobChoice, names: Sequence[str]) -> Exported:
    """Export a version, by the policy or by a job that was named. Raises InputError for one that only lies there and differs.

    What another job exports is judged by the policy's limits all the same; so it is said, and not refused.
    """
    with parts.context.working(ref.model):
        entry = policy_entry(parts.context.ledger.entries(ref.model))
        job = choice.job
        if entry is not None and job is not None:
            lines = export_differences(document_of(entry), job.model_dump(mode="json"))
            if not choice.explicit:
                check_by_policy(choice, lines, "export")
            for line in lines:
                parts.say(f"exporting by {choice.path}, which is not the policy: {line}")
        event = parts.exporter.export(ref, job or job_of(entry), names)
    parts.describe(ref.model)
    return event
