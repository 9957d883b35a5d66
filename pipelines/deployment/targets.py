"""Where a job's versions are served: the `deploy:` part of a job file, and the targets that it names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Tag, model_validator

from registry.errors import InputError
from registry.money.prices import local_price
from registry.records import Record
from registry.settings import Settings
from serving.canary.rules import CanaryRules
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.runpod.config import RunPodDeploy

if TYPE_CHECKING:
    from pipelines.home import Workshop
    from registry.events import CanaryStarted, Deployed
    from serving.targets.contract import Target
    from serving.targets.huggingface.hub import Hub

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
    told = cast("Mapping[str, object]", value).get("kind", "local") if isinstance(value, dict) else getattr(value, "kind", None)
    return str(told) if told in _KINDS else "other"


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
    return sorted({one.name for one in entry_points(group=GROUP)})


def build_target(config: AnyDeploy, settings: Settings) -> Target:
    """The target that a job's `deploy` names. Raises InputError where its key is not set."""
    if isinstance(config, LocalDeploy):
        from serving.targets.local.target import LocalTarget

        headers, price = settings.endpoint_headers, local_price(settings)
        return LocalTarget(settings.deployments, config.port, config.workers, headers, price)
    if isinstance(config, RunPodDeploy):
        return _runpod(config, settings)
    if isinstance(config, HuggingFaceDeploy):
        return _huggingface(config, settings)
    (found,) = entry_points(group=GROUP, name=config.kind)
    return cast("Target", found.load()(config.options))


def bare_target(kind: str, settings: Settings, owner: str = "") -> Target:
    """A target of that kind for looking and deleting: how endpoints are to be made is left open.

    `owner` is the namespace of endpoints at Hugging Face.
    """
    if kind == "local":
        return build_target(LocalDeploy(), settings)
    if kind == "runpod":
        return build_target(RunPodDeploy(image="-", bundles="https://-"), settings)
    if kind == "huggingface":
        return build_target(HuggingFaceDeploy(repository=f"{owner or '-'}/-"), settings)
    return build_target(OtherDeploy(kind=kind), settings)


def _runpod(config: RunPodDeploy, settings: Settings) -> Target:
    from serving.targets.bundle_stores import StaticBundleStore
    from serving.targets.huggingface.hub import HubBundleStore
    from serving.targets.runpod.client import RunPodClient
    from serving.targets.runpod.target import RunPodTarget

    if settings.runpod_api_key is None:
        raise InputError("RUNPOD_API_KEY", "is not set", "set it to a key of your account, or try `modelyard clouds fake`")
    if config.bundles.startswith("hf:"):
        place = HubBundleStore(hub_of(settings), config.bundles.removeprefix("hf:"), private=config.bundle_secret is not None)
    else:
        place = StaticBundleStore(config.bundles)
    return RunPodTarget(RunPodClient(settings.runpod_api_key, settings.runpod_url), config, place)


def _huggingface(config: HuggingFaceDeploy, settings: Settings) -> Target:
    from serving.targets.huggingface.endpoints import Endpoints
    from serving.targets.huggingface.space import space_files
    from serving.targets.huggingface.target import HuggingFaceTarget

    namespace = config.repository.partition("/")[0]
    page = partial(space_files, node_modules=settings.node_modules)
    return HuggingFaceTarget(Endpoints(hub_of(settings), namespace, settings.hf_endpoints_url), config, page=page)


def hub_of(settings: Settings) -> Hub:
    """The account that HF_TOKEN opens. Raises InputError where it is not set."""
    if settings.hf_token is None:
        raise InputError("HF_TOKEN", "is not set", "set it to a token that may write, or try `modelyard clouds fake`")
    from serving.targets.huggingface.hub import Hub

    return Hub(settings.hf_token, settings.hf_url)


def target_of(workshop: Workshop, event: Deployed | CanaryStarted) -> Target:
    """The target that serves what was deployed, for asking, looking and deleting."""
    return bare_target(event.target, workshop.settings, event.owner)
