"""An endpoint at Hugging Face, in a job file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, cast

from pydantic import Field, model_validator

from registry.records import Record
from serving.canary.rules import CanaryRules


class HuggingFaceDeploy(Record):
    """A model repository, and an Inference Endpoint around it."""

    kind: Literal["huggingface"] = "huggingface"
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="OWNER/NAME of a model repository at Hugging Face")
    private: bool = Field(default=True, description="whether the repository and the Space are")
    access: Literal["authenticated", "public", "private"] = Field(default="authenticated", description="who may ask")
    accelerator: Literal["cpu", "gpu"] = "cpu"
    instance: str = Field(default="intel-spr", description="Hugging Face's name of the hardware")
    size: str = Field(default="x1", pattern=r"^x\d+$")
    vendor: str = "aws"
    region: str = "us-east-1"
    min_replicas: int = Field(default=0, ge=0, le=50, description="0: it sleeps without requests")
    max_replicas: int = Field(default=1, ge=1, le=50)
    sleep_minutes: int = Field(default=15, ge=15, description="paid minutes after the last answer")
    image: str | None = Field(default=None, description="our HTTP server's image, instead of Hugging Face's with our handler")
    space: str | None = Field(
        default=None,
        pattern=r"^[\w.-]+/[\w.-]+$",
        description="OWNER/NAME of a free static Space that runs the model in browsers; its bundle needs a TF.js variant",
    )
    max_idle_usd_per_month: float | None = Field(
        default=None,
        gt=0,
        description="nothing is deployed whose replicas that never stop cost more; Hugging Face reports no bills to stop it by",
    )
    start_seconds: float = Field(default=1200, gt=0, description="how long a new endpoint may take to answer")
    smoke_images: int = Field(default=8, ge=1, le=200, description="held-out frames that a new endpoint must get right")
    canary: CanaryRules | None = Field(default=None, description="a new version first gets a share of the traffic")

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, value: Any) -> Any:
        """`max_usd_per_month` was its name when it promised more than it kept: jobs from then go on parsing."""
        if not isinstance(value, Mapping) or "max_usd_per_month" not in value:
            return value
        fields = dict(cast("Mapping[str, Any]", value))
        old = fields.pop("max_usd_per_month")
        return fields if "max_idle_usd_per_month" in fields else fields | {"max_idle_usd_per_month": old}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            message = "min_replicas is more than max_replicas"
            raise ValueError(message)
        return self
