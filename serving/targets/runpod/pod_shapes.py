"""The requests and answers of RunPod's REST v2 about pods, their catalogue and secrets.

From its OpenAPI document of August 2026, and what the vendor published until September (pages, secrets, command lists).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from serving.targets.runpod.shapes import Shape

PodAction = Literal["start", "stop", "restart", "terminate"]
PodStatus = Literal["PROVISIONING", "STARTING", "RUNNING", "EXITED", "ERROR", "TERMINATED"]


class PodGpu(Shape):
    """Which GPU a pod wants, and how many. `count` is always sent: without it no machine matches."""

    id: str
    count: int
    min_cuda_version: str | None = None


class NewPod(Shape):
    """A pod to create. Storage is the container's disk: whatever is worth keeping is fetched before the pod ends."""

    name: str
    image: str
    gpu: PodGpu
    cloud: Literal["SECURE", "COMMUNITY"] = "SECURE"
    disk: int
    ports: list[str]
    env: dict[str, str]
    entrypoint: list[str]
    cmd: list[str]
    data_center_ids: list[str] | None = None
    registry: str | None = None


class PodChanges(Shape):
    """Changes of a pod; what it is placed on is fixed."""

    name: str | None = None
    image: str | None = None
    disk: int | None = None
    ports: list[str] | None = None
    env: dict[str, str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    locked: bool | None = None


class PodActionRequest(Shape):
    """What to do with a pod."""

    action: PodAction


class PortMapping(Shape):
    """A port of the container as it is reached from outside."""

    private: int | None = None
    type: str | None = None


class PodRuntime(Shape):
    """What a running container reports; every part may be missing."""

    uptime: int | None = None
    ports: list[PortMapping] | None = None


class Pod(Shape):
    """A pod that exists. `cost` is US dollars an hour, as RunPod says now; RUNNING may be said while the image is pulled."""

    id: str
    name: str
    status: PodStatus
    cost: Decimal
    created_at: datetime
    env: dict[str, str] = Field(default={})
    gpu: dict[str, Any] | None = None
    data_center_id: str | None = None
    runtime: PodRuntime | None = None

    def maps(self, port: int) -> bool:
        """Whether its container runs and that port of it is reachable."""
        ports = self.runtime.ports or [] if self.runtime else []
        return any(mapping.private == port for mapping in ports)


class GpuCount(Shape):
    """How many GPUs of a kind one pod may have."""

    secure: int
    community: int


class PodPrice(Shape):
    """US dollars an hour for one GPU; 0 where it is not offered so."""

    secure: Decimal
    community: Decimal


class PodGpuType(Shape):
    """A GPU in the catalogue of pods."""

    id: str
    name: str
    memory: int
    price: PodPrice
    max_count: GpuCount
    availability: str | None = None


class Secret(Shape):
    """A secret of the account; its value never comes back."""

    id: str
    name: str
    description: str | None = None
    created_at: datetime


class NewSecret(Shape):
    """A secret to keep."""

    name: str
    value: str
    description: str


class PodBill(Shape):
    """What a pod cost in a span of time, in US dollars."""

    pod_id: str
    start_time: datetime
    end_time: datetime
    total_amount: Decimal
