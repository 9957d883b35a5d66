"""The requests and answers of RunPod's REST v2, as far as endpoints need them (its OpenAPI document, version 2.0.0).

Answers may have more fields than are named here; requests may not.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Shape(BaseModel):
    """Camel case on the wire."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")

    def as_dict(self) -> dict[str, Any]:
        """As JSON for a request, without unset fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Workers(Shape):
    """How many there may be, and after how many idle seconds one stops."""

    min: int
    max: int
    idle_timeout: int | None = None


class QueueDelay(Shape):
    """Another worker once requests wait so many seconds; for queues."""

    type: Literal["QUEUE_DELAY"] = "QUEUE_DELAY"
    queue_delay: float


class RequestCount(Shape):
    """Another worker for so many requests in flight; for load balancers."""

    type: Literal["REQUEST_COUNT"] = "REQUEST_COUNT"
    request_count: int


Scaling = Annotated[QueueDelay | RequestCount, Field(discriminator="type")]


class Gpu(Shape):
    """Which pools a worker may run in. `count` is always sent: without it no machine matches.

    An explicit empty list of allowed CUDA versions may stand beside a floor, and clears one that a template left.
    """

    pools: list[str]
    count: int = 1
    excluded_types: list[str] | None = None
    allowed_cuda_versions: list[str] | None = None
    min_cuda_version: str | None = None


class Cpu(Shape):
    """A CPU flavour."""

    id: str
    vcpu_count: int


class Container(Shape):
    """What a worker runs."""

    image: str | None = None
    env: dict[str, str] | None = None
    args: str | None = None
    disk: int | None = None
    ports: list[str] | None = None
    registry: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same; a registry that is set to none is sent as null, which takes one away."""
        clears = "registry" in self.model_fields_set and self.registry is None
        return super().as_dict() | ({"registry": None} if clears else {})


class EndpointChanges(Container):
    """Changes of an endpoint."""

    template_id: str | None = None
    workers: Workers | None = None
    scaling: Scaling | None = None
    timeout: int | None = None
    flashboot: Literal["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"] | None = None
    gpu: Gpu | None = None
    cpu: list[Cpu] | None = None
    data_center_ids: list[str] | None = None


class NewEndpoint(EndpointChanges):
    """An endpoint to create."""

    name: str
    type: Literal["QUEUE", "LOAD_BALANCER"]


class Urls(Shape):
    """An endpoint's URLs: a queue has `run_sync` and `status`, a load balancer `base`."""

    health: str
    base: str | None = None
    run: str | None = None
    run_sync: str | None = None
    status: str | None = None


class Endpoint(Container):
    """An endpoint that exists."""

    id: str
    name: str
    type: Literal["QUEUE", "LOAD_BALANCER"] | None = None
    request_urls: Urls | None = None
    workers: Workers
    scaling: dict[str, Any]
    timeout: int
    flashboot: str
    created_at: datetime
    gpu: dict[str, Any] | None = None
    cpu: list[dict[str, Any]] | None = None
    data_center_ids: list[str] | None = None


class Worker(Shape):
    """A worker that runs or starts."""

    id: str
    status: Literal["RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY"]
    is_stale: bool
    image: str | None = None


class Workforce(Shape):
    """An endpoint's workers now."""

    workers: list[Worker]
    endpoint_version: int | None = None


class Template(Container):
    """A container's settings, kept under a name that is unique."""

    id: str
    name: str
    serverless: bool


class Registry(Shape):
    """Credentials of a container registry, kept by RunPod."""

    id: str
    name: str


class GpuPrice(Shape):
    """US dollars an hour for one."""

    secure: Decimal
    community: Decimal
    serverless: Decimal | None = None


class GpuType(Shape):
    """A GPU in the catalogue."""

    id: str
    name: str
    pool: str | None
    memory: int
    price: GpuPrice
    availability: str | None = None


class CpuPrice(Shape):
    """US dollars an hour for one vCPU."""

    serverless_per_vcpu: Decimal


class CpuType(Shape):
    """A CPU flavour in the catalogue."""

    id: str
    price: CpuPrice


class Billed(Shape):
    """What an endpoint cost in a span of time, in US dollars."""

    serverless_id: str
    start_time: datetime
    end_time: datetime
    total_amount: Decimal
