"""What RunPod refuses of a body that has the right form: rules between fields, and of what the account holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from serving.fakes.runpod.state import Cloud

_DAY_MS = 86_400_000
_LEAST_TIMEOUT_MS, _MOST_TIMEOUT_MS = 5_000, 7 * _DAY_MS
Body = Mapping[str, Any]


class Refusal(NamedTuple):
    """A status, and the line that explains it."""

    status: int
    detail: str


def refusal_of(cloud: Cloud, body: Body, standing: str = "") -> Refusal | None:
    """Why the settings of an endpoint are refused; `body` has all of them, after a change too. `standing` is its id then."""
    return next(_refusals(cloud, body, standing), None)


def refusal_of_change(body: Body, spec: Body) -> Refusal | None:
    """Why a change is refused, whatever it leads to: an endpoint's kind of machine is fixed."""
    if ("gpu" in body and "cpu" in body) or ("gpu" in body and "cpu" in spec) or ("cpu" in body and "gpu" in spec):
        return Refusal(400, "an endpoint's kind of compute cannot be changed")
    return None


def refusal_of_template(cloud: Cloud, body: Body) -> Refusal | None:
    """Why the template of a body is refused."""
    if "templateId" not in body:
        return None
    template = cloud.templates.get(body["templateId"])
    if template is None:
        return Refusal(404, "no such template")
    if not template.get("serverless"):
        return Refusal(422, "the template is a pod's: a serverless template is needed")
    return None


def _refusals(cloud: Cloud, body: Body, standing: str) -> Iterator[Refusal]:
    if ("gpu" in body) == ("cpu" in body):
        yield Refusal(400, "exactly one of gpu and cpu must be set")
        return
    reasons = _gpu(cloud, body["gpu"]) if "gpu" in body else _cpus(cloud, body)
    for detail in (*reasons, *_things(cloud, body), *_bounds(cloud, body, standing)):
        yield Refusal(400, detail)
    if body["type"] == "LOAD_BALANCER" and body["scaling"]["type"] != "REQUEST_COUNT":
        yield Refusal(422, "a load balancer scales by REQUEST_COUNT")
    counts = body["type"] == "QUEUE" and body["scaling"]["type"] == "REQUEST_COUNT"
    if counts and "idleTimeout" in body["workers"]:
        yield Refusal(422, "workers.idleTimeout does not go with a queue that scales by REQUEST_COUNT")


def _gpu(cloud: Cloud, gpu: Body) -> Iterator[str]:
    hardware = cloud.hardware
    yield from (f"no such pool: {pool}" for pool in gpu["pools"] if pool not in hardware.pools)
    types = hardware.selected({"pools": gpu["pools"]})
    excluded = [name.strip() for name in gpu.get("excludedTypes") or ()]
    yield from (f"excludedTypes: '{name}' is not a GPU type in one of the pools" for name in excluded if name not in types)
    if types and not hardware.selected(gpu):
        yield "excludedTypes leaves no GPU type of the pools"
    if types and gpu.get("count", 1) > max(row.most for row in types.values()):
        yield "gpu.count is more than any machine of the pools has"
    if gpu.get("allowedCudaVersions") and gpu.get("minCudaVersion"):
        yield "allowedCudaVersions and minCudaVersion are mutually exclusive"


def _cpus(cloud: Cloud, body: Body) -> Iterator[str]:
    for cpu in body["cpu"]:
        flavour, vcpus = cloud.hardware.cpus.get(cpu["id"]), cpu["vcpuCount"]
        if flavour is None:
            yield f"no such CPU flavour: {cpu['id']}"
            continue
        if vcpus & (vcpus - 1):
            yield "cpu.vcpuCount must be a power of two"
        if vcpus > flavour.vcpus:
            yield f"cpu.vcpuCount of {cpu['id']} is at most {flavour.vcpus}"
        if body.get("disk", 0) > flavour.disk * vcpus:
            yield f"disk of {cpu['id']} with {vcpus} vCPUs is at most {flavour.disk * vcpus} GB"


def _things(cloud: Cloud, body: Body) -> Iterator[str]:
    """What is named and does not exist."""
    centers = body.get("dataCenterIds") or []
    yield from (f"no such data center: {name}" for name in centers if name not in cloud.hardware.data_centers)
    for number in body.get("networkVolumes") or []:
        volume = cloud.volumes.get(number)
        if volume is None:
            yield f"no such network volume: {number}"
        elif centers and volume["dataCenter"] not in centers:
            yield f"the network volume is in {volume['dataCenter']}, which is not among dataCenterIds"
    registry = body.get("registry")
    if registry and registry not in cloud.registries:
        yield f"no such registry credential: {registry}"


def _bounds(cloud: Cloud, body: Body, standing: str) -> Iterator[str]:
    workers = body["workers"]
    if workers["min"] > workers["max"]:
        yield "workers.min is more than workers.max"
    others = sum(endpoint.spec["workers"]["max"] for endpoint in cloud.endpoints.values() if endpoint.id != standing)
    if others + workers["max"] > cloud.quota:
        yield f"Max workers across all endpoints must not exceed your workers quota ({cloud.quota})"
    timeout = body.get("timeout", 0)  # 0 is none
    if timeout and not _LEAST_TIMEOUT_MS <= timeout <= _MOST_TIMEOUT_MS:
        yield f"timeout must be from {_LEAST_TIMEOUT_MS} to {_MOST_TIMEOUT_MS} ms"
