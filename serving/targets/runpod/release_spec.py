"""The settings that an endpoint on RunPod should have, and those that it has, in the same form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from registry.errors import InputError, shorten
from serving.targets.runpod.config import RunPodDeploy
from serving.targets.runpod.hosts import cuda_floor
from serving.targets.runpod.release import PORT
from serving.targets.runpod.shapes import (
    Cpu,
    Endpoint,
    EndpointChanges,
    Gpu,
    NewEndpoint,
    QueueDelay,
    Registry,
    RequestCount,
    Template,
    Workers,
)

_DISK_GB = 5
_QUEUE_DELAY_S = 2.0
_IN_FLIGHT = 8
_LEAST_TIMEOUT_S = 5
"""RunPod takes no less."""


def endpoint_spec(config: RunPodDeploy, env: dict[str, str], registry: str | None, template: str | None) -> EndpointChanges:
    """Every setting, for new and existing endpoints alike: RunPod's defaults of `flashboot` and `timeout` do not suit us."""
    queue = config.mode == "queue"
    return EndpointChanges(
        image=config.image,
        env=env,
        disk=_DISK_GB,
        ports=None if queue else [f"{PORT}/http"],
        **({} if template and registry is None else {"registry": registry}),  # null would take the template's away
        template_id=template,
        workers=Workers(min=config.min_workers, max=config.max_workers, idle_timeout=config.idle_seconds),
        scaling=QueueDelay(queue_delay=_QUEUE_DELAY_S) if queue else RequestCount(request_count=_IN_FLIGHT),
        timeout=max(config.request_seconds, _LEAST_TIMEOUT_S) * 1000,
        flashboot="FLASHBOOT" if config.flashboot else "OFF",
        gpu=_gpu(config) if config.pools else None,
        cpu=None if config.pools else [Cpu(id=config.cpu.id, vcpu_count=config.cpu.vcpus)],
        data_center_ids=list(config.data_centers),
    )


def _gpu(config: RunPodDeploy) -> Gpu:
    pools, floor = list(config.pools), cuda_floor(config)
    return Gpu(pools=pools, count=config.gpus, allowed_cuda_versions=[], min_cuda_version=floor)


def new_endpoint(name: str, config: RunPodDeploy, spec: EndpointChanges) -> NewEndpoint:
    """The same, for an endpoint to create."""
    kind = "QUEUE" if config.mode == "queue" else "LOAD_BALANCER"
    return NewEndpoint(name=name, type=kind, **{field: getattr(spec, field) for field in spec.model_fields_set})


def matches_spec(endpoint: Endpoint, spec: EndpointChanges) -> bool:
    """Whether an endpoint already has these settings. A template's own variables may come with ours."""
    is_now, fields = current_spec(endpoint).as_dict(), spec.as_dict()
    template, env = fields.pop("templateId", None), fields.pop("env", {})
    theirs = is_now.get("env", {})
    same_env = env.items() <= theirs.items() if template else env == theirs
    same_gpu = _placed(is_now.pop("gpu", None)) == _placed(fields.pop("gpu", None))
    return same_env and same_gpu and all((is_now.get(name) or []) == (value or []) for name, value in fields.items())


def check_can_update(endpoint: Endpoint, config: RunPodDeploy) -> None:
    """Raise InputError if RunPod cannot apply this change: type and kind of machine are fixed."""
    kind = "QUEUE" if config.mode == "queue" else "LOAD_BALANCER"
    family = "GPU" if endpoint.gpu else "CPU"
    remedy = "delete it first (archive the version), or deploy under another name"
    if endpoint.type is not None and endpoint.type != kind:
        raise InputError(f"endpoint {endpoint.name}", f"is a {endpoint.type}, and RunPod makes no {kind} of it", remedy)
    if (endpoint.gpu or endpoint.cpu) and family != ("GPU" if config.pools else "CPU"):
        raise InputError(f"endpoint {endpoint.name}", f"has a {family}, and RunPod does not change that", remedy)


def current_spec(endpoint: Endpoint) -> EndpointChanges:
    """The settings that an endpoint has."""
    return EndpointChanges.model_validate(endpoint.model_dump(include=set(EndpointChanges.model_fields)))


def restoring_spec(endpoint: Endpoint) -> EndpointChanges:
    """The settings that restore an endpoint's current state: what it has not is taken away again."""
    spec = current_spec(endpoint)
    if spec.gpu is None:
        return spec
    cuda = {"allowed_cuda_versions": spec.gpu.allowed_cuda_versions or [], "min_cuda_version": spec.gpu.min_cuda_version or ""}
    return spec.model_copy(update={"gpu": spec.gpu.model_copy(update=cuda)})


def with_exclusions(spec: EndpointChanges, endpoint: Endpoint) -> EndpointChanges:
    """The same settings, with the GPU types that a person took out of the same pools: new pools alone would add them again."""
    standing = current_spec(endpoint).gpu
    if spec.gpu is None or standing is None or set(standing.pools) != set(spec.gpu.pools) or not standing.excluded_types:
        return spec
    return spec.model_copy(update={"gpu": spec.gpu.model_copy(update={"excluded_types": standing.excluded_types})})


def _placed(gpu: dict[str, Any] | None) -> tuple[Any, ...]:
    """What places a worker, comparable."""
    fields = gpu or {}
    allowed, floor = fields.get("allowedCudaVersions") or [], fields.get("minCudaVersion") or ""
    return fields.get("pools"), fields.get("count", 1), sorted(fields.get("excludedTypes") or []), sorted(allowed), floor


def id_by_name(name: str, known: Sequence[Registry | Template], kind: str) -> str:
    """The id of an object at RunPod by its name. Raises InputError listing the names that exist."""
    for item in known:
        if item.name == name:
            return item.id
    there = ", ".join(item.name for item in known) or "none"
    raise InputError(f"{kind} '{name}'", f"is not at RunPod (there: {shorten(there, 120)})", "create it there, or fix the job")
