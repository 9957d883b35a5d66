"""Deployments as plans that a forecast can price: from the very settings that the targets will send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from registry.money.plans import ServingPlan
from registry.promotion.policy import policy_entry, policy_of
from registry.protocols import Entry
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.huggingface.quote import hardware_name
from serving.targets.runpod.config import RunPodDeploy
from serving.targets.runpod.quote import VCPU
from serving.targets.runpod.release_spec import endpoint_spec
from serving.targets.runpod.shapes import QueueDelay, RequestCount

_CHEAPEST_POOL = "AMPERE_16"


def plans_of(deploy: Mapping[str, Any]) -> list[ServingPlan]:
    """The plans of a job's `deploy`, stage → settings, as a document; this machine and other packages' targets have none."""
    plans = list[ServingPlan]()
    for stage, fields in deploy.items():
        config = _config_of(fields)
        if config is not None:
            plan = plan_of(config)
            plans.append(plan.model_copy(update={"name": f"{stage}: {plan.name}", "chosen": True}))
    return plans


def plans_by_policy(entries: Iterable[Entry], model: str) -> list[ServingPlan]:
    """The plans of a model's policy; none where none was set."""
    policy = policy_of(policy_entry([entry for entry in entries if entry.event.model == model])) if model else None
    return plans_of(policy.job.get("deploy") or {}) if policy else []


def _config_of(fields: Mapping[str, Any] | None) -> RunPodDeploy | HuggingFaceDeploy | None:
    kinds = {"runpod": RunPodDeploy, "huggingface": HuggingFaceDeploy}
    kind = kinds.get(str(fields.get("kind"))) if fields else None
    try:
        return None if kind is None else kind.model_validate(fields, strict=False)
    except ValidationError:  # a policy of another release
        return None


def plan_of(config: RunPodDeploy | HuggingFaceDeploy) -> ServingPlan:
    """What a deployment rents and how it scales."""
    return _runpod(config) if isinstance(config, RunPodDeploy) else _huggingface(config)


def alternatives() -> list[ServingPlan]:
    """What each target does by default, on its CPU and on its cheapest GPU; asleep when idle, and with a worker kept on."""
    cpu = RunPodDeploy(image="-", bundles="https://-")
    gpu = cpu.model_copy(update={"pools": (_CHEAPEST_POOL,)})
    instance = HuggingFaceDeploy(repository="-/-")
    t4 = instance.model_copy(update={"accelerator": "gpu", "instance": "nvidia-t4"})
    on = {"min_replicas": 1}
    return [
        plan_of(cpu),
        plan_of(gpu),
        plan_of(gpu.model_copy(update={"min_workers": 1})),
        plan_of(instance),
        plan_of(instance.model_copy(update=on)),
        plan_of(t4),
    ]


def _runpod(config: RunPodDeploy) -> ServingPlan:
    spec = endpoint_spec(config, {}, None, None)
    hardware = config.pools or (f"{config.cpu.id}{VCPU}",)
    units = config.gpus if config.pools else config.cpu.vcpus
    what = " or ".join(config.pools) if config.pools else f"{config.cpu.id} with {units} vCPU"
    many = f" x {units}" if config.pools and units > 1 else ""
    kept = {0: "", 1: ", one kept on"}.get(config.min_workers, f", {config.min_workers} kept on")
    return ServingPlan(
        name=f"RunPod Serverless {what}{many}{kept}",
        provider="runpod",
        product="serverless",
        hardware=hardware,
        units=units,
        min_workers=config.min_workers,
        max_workers=config.max_workers,
        idle_s=config.idle_seconds,
        scale_after_s=spec.scaling.queue_delay if isinstance(spec.scaling, QueueDelay) else 0,
        scale_after_requests=spec.scaling.request_count if isinstance(spec.scaling, RequestCount) else 0,
        disk_gb=spec.disk or 0,
        starts="disputed",
    )


def _huggingface(config: HuggingFaceDeploy) -> ServingPlan:
    name = hardware_name(config.vendor, config.instance, config.size)
    on = {0: "asleep when idle", config.max_replicas: "always on"}.get(config.min_replicas, f"{config.min_replicas} always on")
    return ServingPlan(
        name=f"Hugging Face {name}, {on}",
        provider="huggingface",
        product="endpoint",
        hardware=(name,),
        min_workers=config.min_replicas,
        max_workers=config.max_replicas,
        idle_s=config.sleep_minutes * 60,
    )
