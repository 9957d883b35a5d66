"""Where a job's versions are served: the `deploy:` part of a job file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Tag, model_validator

from registry.records import Record
from serving.canary.rules import CanaryRules
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.runpod.config import RunPodDeploy

GROUP = "modelyard.targets"
"""Other packages' targets: the entry point is called with a job's `options` and returns a `Target`."""


class LocalDeploy(Record):
    """An HTTP process on this machine."""

    kind: Literal["local"] = "local"
    port: int = Field(default=0, ge=0, le=65535, description="0: any free one")
    workers: int = Field(default=1, ge=1, le=64, description="processes that predict side by side")
    smoke_images: int = Field(default=8, ge=1, le=200, description="held-out frames that a new endpoint must get right")
    canary: CanaryRules | None = Field(default=None, description="a new version first gets a share of the traffic")


class OtherDeploy(Record):
    """A target of another package, found by its entry point."""

    kind: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    options: dict[str, Any] = Field(default={}, description="what that package wants to know")
    smoke_images: int = Field(default=8, ge=1, le=200, description="held-out frames that a new endpoint must get right")
    canary: CanaryRules | None = Field(default=None, description="a new version first gets a share of the traffic")

    @model_validator(mode="after")
    def _is_installed(self) -> OtherDeploy:
        if self.kind not in installed():
            raise ValueError(f"no target '{self.kind}' (known: {', '.join([*_KINDS, *installed()])})")
        return self


_KINDS = ("local", "runpod", "huggingface")


def _kind_of(value: Any) -> str:
    kind = cast("Mapping[str, object]", value).get("kind", "local") if isinstance(value, dict) else getattr(value, "kind", None)
    return str(kind) if kind in _KINDS else "other"


DeployConfig = Annotated[
    Annotated[LocalDeploy, Tag("local")]
    | Annotated[RunPodDeploy, Tag("runpod")]
    | Annotated[HuggingFaceDeploy, Tag("huggingface")]
    | Annotated[OtherDeploy, Tag("other")],
    Discriminator(_kind_of),
]
AnyDeploy = LocalDeploy | RunPodDeploy | HuggingFaceDeploy | OtherDeploy


def installed() -> list[str]:
    """The kinds that installed packages offer."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})
