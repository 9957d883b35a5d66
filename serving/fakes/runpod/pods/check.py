"""What RunPod refuses of a pod: 422 for what its published document excludes, 400 for rules between fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from serving.fakes.runpod.hardware import CPUS, DATA_CENTERS

_CUDA = re.compile(r"\d+\.\d+")
_PORT = re.compile(r"\d{1,5}/(http|tcp)")
_TEXTS = "array of strings"
_KINDS: Mapping[str, object] = {
    "name": str,
    "image": str,
    "args": str,
    "disk": int,
    "ports": _TEXTS,
    "entrypoint": _TEXTS,
    "cmd": _TEXTS,
    "dataCenterIds": _TEXTS,
    "env": dict,
    "registry": (str, type(None)),
    "cloud": str,
    "gpu": dict,
    "cpu": dict,
    "mounts": dict,
    "globalNetworking": bool,
    "startSsh": bool,
    "startJupyter": bool,
    "templateId": str,
}
_GPU = {"id": str, "count": int, "allowedCudaVersions": _TEXTS, "minCudaVersion": str}
_GPU |= {"minRamPerGpu": int, "minVcpuCountPerGpu": int}
_CPU = {"id": str, "vcpuCount": int}
_MOUNTS = {"persistent": dict, "network": list}
_MOUNT = {"persistent": {"size": int, "path": str}, "network": {"volumeId": str, "path": str}}
SECRET_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.\-/]*")
SECRET_CHARACTERS = 191
SECRET_BYTES = 16 * 1024 * 1024


def invalid(body: object) -> list[str]:
    """Why the body of a new pod is 422, a line each."""
    if not isinstance(body, dict):
        return ["$: value must be an object"]
    return [*_fields("$", body, _KINDS), *_values(body)]


def invalid_change(body: object) -> list[str]:
    """Why a change of a pod is 422: what it is placed on is fixed."""
    if not isinstance(body, dict):
        return ["$: value must be an object"]
    fixed = {"cloud", "gpu", "cpu", "dataCenterIds", "startSsh", "startJupyter"}
    kinds = {name: kind for name, kind in _KINDS.items() if name not in fixed} | {"locked": bool}
    return [*_fields("$", body, kinds), *_values({"name": "-", "image": "-"} | body)]


def broken_rule(body: Mapping[str, Any]) -> str | None:
    """Why a valid body is 400: rules between its fields."""
    if ("gpu" in body) == ("cpu" in body):
        return "exactly one of gpu and cpu must be set"
    mounts, gpu = body.get("mounts") or {}, body.get("gpu") or {}
    if {"persistent", "network"} <= mounts.keys():
        return "mounts.persistent and mounts.network are mutually exclusive"
    if "persistent" in mounts and "cpu" in body:
        return "mounts.persistent is invalid for CPU pods"
    if gpu.get("allowedCudaVersions") and "minCudaVersion" in gpu:
        return "allowedCudaVersions and minCudaVersion are mutually exclusive"
    return next(_of_cpu(body), None)


def missing(body: Mapping[str, Any], volumes: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What a valid body names and there is not: a data centre, a network volume, or one that is elsewhere."""
    centers = body.get("dataCenterIds") or []
    if unknown := [name for name in centers if name not in DATA_CENTERS]:
        return f"no such data center: {unknown[0]}"
    for mount in (body.get("mounts") or {}).get("network") or []:
        volume = volumes.get(mount["volumeId"])
        if volume is None:
            return f"no such network volume: {mount['volumeId']}"
        if centers and volume["dataCenter"] not in centers:
            return f"the network volume is in {volume['dataCenter']}, which is not among dataCenterIds"
    return None


def _of_cpu(body: Mapping[str, Any]) -> Iterator[str]:
    if "cpu" not in body:
        return
    flavour, vcpus = CPUS.get(body["cpu"]["id"]), body["cpu"]["vcpuCount"]
    if flavour is None:
        yield f"no such CPU flavour: {body['cpu']['id']}"
        return
    if vcpus < 2 or vcpus & (vcpus - 1):  # noqa: PLR2004 a power of two, two at least
        yield "cpu.vcpuCount must be a power of two and at least 2"
    if vcpus > flavour.vcpus:
        yield f"cpu.vcpuCount of {body['cpu']['id']} is at most {flavour.vcpus}"
    if body.get("disk", 0) > flavour.disk * vcpus:
        yield f"disk of {body['cpu']['id']} with {vcpus} vCPUs is at most {flavour.disk * vcpus} GB"


def invalid_secret(body: object) -> list[str]:
    """Why the body of a new secret is 422."""
    if not isinstance(body, dict):
        return ["$: value must be an object"]
    lines = [*_fields("$", body, {"name": str, "value": str, "description": (str, type(None))})]
    lines += [f"$.{name}: is required" for name in ("name", "value") if name not in body]
    name = body.get("name")
    wrong = not isinstance(name, str) or not SECRET_NAME.fullmatch(name) or len(name) > SECRET_CHARACTERS
    if wrong or str(name).upper().startswith("RUNPOD"):
        lines.append("$.name: value does not match the pattern")
    if isinstance(body.get("value"), str) and len(body["value"].encode()) >= SECRET_BYTES:
        lines.append("$.value: is too large")
    return lines


def invalid_secret_change(body: object) -> list[str]:
    """Why a change of a secret is 422: its name is fixed."""
    if not isinstance(body, dict) or not body:
        return ["$: value must be an object with a field at least"]
    return [*_fields("$", body, {"value": str, "description": (str, type(None))})]


def _values(body: Mapping[str, Any]) -> Iterator[str]:
    """What each field may hold."""
    if not body.get("name"):
        yield "$.name: is required"
    if not body.get("image") and "templateId" not in body:
        yield "$.image: is required without templateId"
    if body.get("cloud", "SECURE") not in {"SECURE", "COMMUNITY"}:
        yield "$.cloud: value must be one of 'SECURE', 'COMMUNITY'"
    if isinstance(env := body.get("env"), dict) and not all(isinstance(value, str) for value in env.values()):
        yield "$.env: values must be strings"
    if isinstance(ports := body.get("ports"), list):
        yield from (f"$.ports: '{port}' does not match" for port in ports if not _PORT.fullmatch(str(port)))
    if isinstance(disk := body.get("disk"), int) and disk < 1:
        yield "$.disk: must be at least 1"
    yield from _gpu(body.get("gpu"))
    if isinstance(cpu := body.get("cpu"), dict):
        yield from _fields("$.cpu", cpu, _CPU)
        yield from (f"$.cpu.{name}: is required" for name in _CPU if name not in cpu)
    yield from _mounts(body.get("mounts"))


def _gpu(gpu: object) -> Iterator[str]:
    if not isinstance(gpu, dict):
        return
    yield from _fields("$.gpu", gpu, _GPU)
    if not isinstance(gpu.get("id"), str):
        yield "$.gpu.id: is required"
    if isinstance(gpu.get("count", 1), int) and gpu.get("count", 1) < 1:
        yield "$.gpu.count: must be at least 1"
    asked = gpu.get("allowedCudaVersions")
    versions = [*(asked if isinstance(asked, list) else ()), *([gpu["minCudaVersion"]] if "minCudaVersion" in gpu else ())]
    yield from (f"$.gpu: '{version}' is no major.minor" for version in versions if not _CUDA.fullmatch(str(version)))


def _mounts(mounts: object) -> Iterator[str]:
    if not isinstance(mounts, dict):
        return
    yield from _fields("$.mounts", mounts, _MOUNTS)
    network = mounts.get("network")
    volumes = network if isinstance(network, list) else []
    if len(volumes) > 1:
        yield "$.mounts.network: has more than 1 item"
    persistent = [mounts["persistent"]] if isinstance(mounts.get("persistent"), dict) else []
    for kind, mount in [*(("persistent", mount) for mount in persistent), *(("network", volume) for volume in volumes)]:
        if not isinstance(mount, dict):
            yield f"$.mounts.{kind}: value must be an object"
            continue
        yield from _fields(f"$.mounts.{kind}", mount, _MOUNT[kind])
        yield from (f"$.mounts.{kind}.{name}: is required" for name in _MOUNT[kind] if name not in mount)
        if kind == "persistent" and isinstance(mount.get("size"), int) and mount["size"] < 10:  # noqa: PLR2004 GB
            yield "$.mounts.persistent.size: must be at least 10"


def _fields(where: str, values: Mapping[Any, Any], kinds: Mapping[str, object]) -> Iterator[str]:
    """Keys that are not known, and values of another type."""
    for name, value in values.items():
        kind = kinds.get(name)
        if kind is None:
            yield f"{where}: additional properties '{name}' not allowed"
        elif kind == _TEXTS:
            if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
                yield f"{where}.{name}: value must be an array of strings"
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):  # pyright: ignore[reportArgumentType]
            yield f"{where}.{name}: value is of another type"
