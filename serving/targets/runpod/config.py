"""An endpoint on RunPod, in a job file."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from registry.records import Record
from serving.canary.rules import CanaryRules
from serving.targets.release_images import default_image

_ADDRESS = re.compile(r"hf:[\w.-]+/[\w.-]+|https?://\S+")


def is_offered(vcpus: int) -> bool:
    """Whether RunPod has machines with so many: powers of two."""
    return vcpus & (vcpus - 1) == 0


def _is_stored(info: ValidationInfo) -> bool:
    """Whether a policy is read back: what was accepted once goes on being read, and is refused when it is deployed."""
    return bool((info.context or {}).get("stored"))


class CpuChoice(Record):
    """A CPU flavour of RunPod's catalogue."""

    id: str = "cpu5c"
    vcpus: int = Field(default=2, ge=2, le=32, description="2, 4, 8, 16 or 32")


class RunPodDeploy(Record):
    """A Serverless endpoint on RunPod."""

    kind: Literal["runpod"] = "runpod"
    bundles: str = Field(
        min_length=1,
        description="where workers fetch bundles: hf:OWNER/NAME (published there, privately unless `public`), or an https "
        "address below which DIGEST/ holds each",
    )
    public: bool = Field(default=False, description="whether everybody may read the bundles at hf:OWNER/REPO")
    mode: Literal["load_balancer", "queue"] = Field(
        default="load_balancer", description="load_balancer: our HTTP server, direct; queue: RunPod keeps the requests"
    )
    pools: tuple[str, ...] = Field(default=(), description="GPU pools, any of which will do, e.g. AMPERE_16; none: a CPU")
    gpus: int = Field(default=1, ge=1, le=8)
    image: str = Field(
        default="",
        validate_default=True,
        description="the worker's image, as docker/ builds it, by tag or digest; default: this release's, below the registry "
        "and owner that MODELYARD_IMAGES names",
    )
    min_cuda: str | None = Field(
        default=None, pattern=r"^\d+\.\d+$", description="the oldest CUDA of hosts with GPUs; by default that of our image"
    )
    cpu: CpuChoice = CpuChoice()
    data_centers: tuple[str, ...] = Field(default=(), description="none: wherever there is room")
    min_workers: int = Field(default=0, ge=0, le=100, description="workers that are never stopped, and always paid")
    max_workers: int = Field(default=2, ge=1, le=100)
    account_workers: int | None = Field(
        default=None,
        ge=1,
        description="how many workers RunPod allows your account over all endpoints; by default what it says, else 5",
    )
    idle_seconds: int = Field(default=30, ge=1, le=3600, description="paid seconds after the last answer")
    request_seconds: int = Field(default=60, ge=1, le=3600, description="how long one request may take")
    flashboot: bool = Field(default=True, description="RunPod's faster cold start")
    registry: str | None = Field(default=None, description="the name that a private registry's credentials have at RunPod")
    template: str | None = Field(default=None, description="the name of a Serverless template to start from")
    bundle_secret: str | None = Field(
        default=None, description="the name of the RunPod secret that holds the token for the bundles' address"
    )
    max_usd_per_month: float | None = Field(
        default=None,
        gt=0,
        description="once a month cost as much, its workers are stopped until the next one, and nothing is deployed",
    )
    start_seconds: float = Field(default=900, gt=0, description="how long a new worker may take to answer")
    smoke_images: int = Field(default=8, ge=1, le=200, description="held-out frames that a new endpoint must get right")
    canary: CanaryRules | None = Field(default=None, description="a new version first gets a share of the traffic")

    @field_validator("image")
    @classmethod
    def _named(cls, given: str, others: ValidationInfo) -> str:
        kind = "queue" if others.data.get("mode") == "queue" else "serve"
        return given or default_image(f"{kind}-cuda" if others.data.get("pools") else kind)

    @field_validator("bundles")
    @classmethod
    def _addressed(cls, given: str, info: ValidationInfo) -> str:
        if not _is_stored(info) and not _ADDRESS.fullmatch(given):
            raise ValueError(f"'{given}' is no address of bundles; write hf:OWNER/NAME, or an https address")
        return given

    @field_validator("cpu")
    @classmethod
    def _offered(cls, given: CpuChoice, info: ValidationInfo) -> CpuChoice:
        if not _is_stored(info) and not info.data.get("pools") and not is_offered(given.vcpus):
            raise ValueError(f"vcpus {given.vcpus} is no power of two, as RunPod's machines are; choose 2, 4, 8, 16 or 32")
        return given

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_workers > self.max_workers:
            message = "min_workers is more than max_workers"
            raise ValueError(message)
        return self
