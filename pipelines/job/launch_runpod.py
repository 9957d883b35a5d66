"""Training on a pod of RunPod, in a job file."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, field_validator

from pipelines.job.launch import Device
from registry.records import Record
from serving.targets.release_images import default_image


class RunPodLaunch(Record):
    """One pod for each trainer: quoted before, never dearer than `max_usd`, terminated afterwards."""

    kind: Literal["runpod"] = "runpod"
    image: str = Field(
        default="",
        validate_default=True,
        description="the image of docker/train.Dockerfile as you pushed it, by tag or digest; default: this release's, below "
        "the registry and owner that MODELYARD_IMAGES names",
    )
    gpus: tuple[str, ...] = Field(
        min_length=1,
        description="GPUs of RunPod's catalogue, any of which will do, such as NVIDIA A40; the cheapest is tried first",
    )
    max_usd: Decimal = Field(
        gt=0, allow_inf_nan=False, description="what one training may cost, the search for a good host included"
    )
    max_minutes: float = Field(default=60, ge=1, le=7 * 24 * 60, description="how long one training's pods may exist")
    gpu_count: int = Field(default=1, ge=1, le=8)
    cloud: Literal["secure", "community"] = "secure"
    data_centers: tuple[str, ...] = Field(default=(), description="none: wherever there is room")
    disk_gb: int = Field(default=30, ge=20, le=2000, description="the container's disk")
    min_cuda: str | None = Field(default=None, pattern=r"^\d+\.\d+$", description="the oldest CUDA that a host may have")
    registry: str | None = Field(default=None, description="the id of a private registry's credentials at RunPod")
    start_minutes: float = Field(default=15, gt=0, description="how long a pod may take to answer before another host is tried")
    device: Device = Field(
        default="cuda", description="what the training must find there: a pod without its GPU trains nothing"
    )
    silence_minutes: float = Field(default=10, ge=2, description="after which a pod that nobody asks anything ends itself")
    key_secret: str | None = Field(
        default=None,
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_.\-/]*$",
        description="the RunPod secret with a key that may end pods, where a pod's own key may not",
    )

    @field_validator("image")
    @classmethod
    def _named(cls, given: str) -> str:
        return given or default_image("train")
