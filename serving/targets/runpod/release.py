"""What an endpoint serves, written into its workers' environment: the provider's own record is the only one kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

from registry.errors import InputError, shorten
from serving.bundle.bundle import Bundle
from serving.targets.runpod.config import RunPodDeploy
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

_PORT = 8000
_DISK_GB = 5
_QUEUE_DELAY_S = 2.0
_IN_FLIGHT = 8


@dataclass(frozen=True)
class Release:
    """A bundle, and where workers fetch it."""

    model: str
    version: int
    bundle: str
    url: str

    @classmethod
    def of(cls, bundle: Bundle, url: str) -> Self:
        """A bundle's."""
        return cls(bundle.index.model, bundle.index.version, bundle.index.digest, url)

    @classmethod
    def read(cls, env: dict[str, str] | None) -> Self | None:
        """The one in a worker's environment, if it is one of ours."""
        found = env or {}
        try:
            version = int(found["MODELYARD_VERSION"])
            return cls(found["MODELYARD_MODEL"], version, found["MODELYARD_BUNDLE"], found["MODELYARD_BUNDLE_URL"])
        except (KeyError, ValueError):
            return None

    @classmethod
    def before(cls, env: dict[str, str] | None) -> Self | None:
        """The one that was served before it."""
        try:
            return cls(**json.loads((env or {})["MODELYARD_BEFORE"]))
        except (KeyError, ValueError, TypeError):
            return None

    def env(self, config: RunPodDeploy, before: Release | None) -> dict[str, str]:
        """The environment of its workers."""
        told = {
            "MODELYARD_MODEL": self.model,
            "MODELYARD_VERSION": str(self.version),
            "MODELYARD_BUNDLE": self.bundle,
            "MODELYARD_BUNDLE_URL": self.url,
            "PORT": str(_PORT),
            "PORT_HEALTH": str(_PORT),
        }
        if config.pools:
            told["MODELYARD_DEVICE"] = "cuda"
        if config.bundle_secret:
            told["MODELYARD_BUNDLE_TOKEN"] = "{{ RUNPOD_SECRET_" + config.bundle_secret + " }}"
        if before:
            told["MODELYARD_BEFORE"] = json.dumps(asdict(before), sort_keys=True)
        return told


def changes(config: RunPodDeploy, env: dict[str, str], registry: str | None, template: str | None) -> EndpointChanges:
    """All that an endpoint is told, whether it is new or not. `flashboot` and `timeout` have treacherous defaults."""
    queue = config.mode == "queue"
    return EndpointChanges(
        image=config.image,
        env=env,
        disk=_DISK_GB,
        ports=None if queue else [f"{_PORT}/http"],
        registry=registry,
        template_id=template,
        workers=Workers(min=config.min_workers, max=config.max_workers, idle_timeout=config.idle_seconds),
        scaling=QueueDelay(queue_delay=_QUEUE_DELAY_S) if queue else RequestCount(request_count=_IN_FLIGHT),
        timeout=config.request_seconds * 1000,
        flashboot="FLASHBOOT" if config.flashboot else "OFF",
        gpu=Gpu(pools=list(config.pools), count=config.gpus) if config.pools else None,
        cpu=None if config.pools else [Cpu(id=config.cpu.id, vcpu_count=config.cpu.vcpus)],
        data_center_ids=list(config.data_centers),
    )


def created(name: str, config: RunPodDeploy, told: EndpointChanges) -> NewEndpoint:
    """The same, for one that is to be made."""
    kind = "QUEUE" if config.mode == "queue" else "LOAD_BALANCER"
    return NewEndpoint(name=name, type=kind, **{field: getattr(told, field) for field in EndpointChanges.model_fields})


def holds(one: Endpoint, wanted: EndpointChanges) -> bool:
    """Whether an endpoint already is as it is wanted. A template's own variables may stand beside ours."""
    is_now, told = as_it_was(one).wire(), wanted.wire()
    template, env = told.pop("templateId", None), told.pop("env", {})
    theirs = is_now.get("env", {})
    same_env = env.items() <= theirs.items() if template else env == theirs
    return same_env and all((is_now.get(name) or []) == (value or []) for name, value in told.items())


def check_may_become(one: Endpoint, config: RunPodDeploy) -> None:
    """Raise InputError where RunPod cannot change an endpoint so: its type and its kind of machine stay."""
    kind = "QUEUE" if config.mode == "queue" else "LOAD_BALANCER"
    family = "GPU" if one.gpu else "CPU"
    remedy = "delete it first (archive the version), or deploy under another name"
    if one.type is not None and one.type != kind:
        raise InputError(f"endpoint {one.name}", f"is a {one.type}, and RunPod makes no {kind} of it", remedy)
    if (one.gpu or one.cpu) and family != ("GPU" if config.pools else "CPU"):
        raise InputError(f"endpoint {one.name}", f"has a {family}, and RunPod does not change that", remedy)


def as_it_was(one: Endpoint) -> EndpointChanges:
    """What brings an endpoint back to how it is now."""
    return EndpointChanges.model_validate(one.model_dump())


def by_name(name: str, known: Sequence[Registry | Template], kind: str) -> str:
    """The id of what RunPod keeps under a name. Raises InputError naming those that are there."""
    for one in known:
        if one.name == name:
            return one.id
    there = ", ".join(one.name for one in known) or "none"
    raise InputError(f"{kind} '{name}'", f"is not at RunPod (there: {shorten(there, 120)})", "make it there, or mend the job")
