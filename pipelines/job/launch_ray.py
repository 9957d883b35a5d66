"""Training on a Ray cluster, in a job file."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from pipelines.job.launch import Device
from registry.records import Record


class RayLaunch(Record):
    """Each trainer is a task of a Ray cluster; one whose worker is lost is tried again."""

    kind: Literal["ray"] = "ray"
    address: str = Field(
        default="auto",
        pattern=r"^(auto|local|(ray://)?[^\s/]+:\d+)$",
        description="auto: the cluster that runs here or that RAY_ADDRESS names, else one started here; local; or its address",
    )
    cpus: float = Field(default=1, gt=0, le=1024, description="of one training")
    gpus: float = Field(default=0, ge=0, le=64, description="of one training")
    memory_gb: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="at which one training is ended")
    device: Device = "auto"
    retries: int = Field(default=2, ge=0, le=20, description="how often a training begins again whose worker was lost")
    usd_per_hour: Decimal | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="what one training there costs; none: as this machine"
    )
