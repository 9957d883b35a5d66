"""From a job's `deploy:` to the target that it names, and from a row of the ledger to the target that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from pipelines.deployment.outages import Account
from pipelines.job.deploys import GROUP, AnyDeploy, LocalDeploy, OtherDeploy
from registry.errors import MissingKeyError
from registry.events import CanaryStarted, Deployed, DeployStarted
from registry.money.prices import local_price
from registry.reports.endpoints import Begun, is_begun, unretired
from registry.settings import Settings
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.runpod.config import RunPodDeploy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from registry.protocols import Entry
    from registry.stages import Stage
    from serving.bundle.bundle import Bundle
    from serving.targets.contract import LiveEndpoint, Target


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of a home: its keys, its addresses, its folder of local endpoints."""

    settings: Settings

    def local(self) -> Target:
        """This machine."""
        return self.build(LocalDeploy())

    def build(self, config: AnyDeploy) -> Target:
        """The target that a job's `deploy` names. Raises InputError where its key is not set."""
        settings = self.settings
        if isinstance(config, LocalDeploy):
            from serving.targets.local.target import LocalTarget

            headers, price = settings.endpoint_headers, local_price(settings)
            return LocalTarget(settings.deployments, config.port, config.workers, headers, price)
        if isinstance(config, RunPodDeploy):
            return _runpod(config, settings)
        if isinstance(config, HuggingFaceDeploy):
            return _huggingface(config, settings)
        (entry,) = entry_points(group=GROUP, name=config.kind)
        return cast("Target", entry.load()(config.options))

    def missing_key(self, account: Account) -> MissingKeyError | None:
        """The key that an account needs and that is not set in this process. Nobody is asked."""
        settings = self.settings
        keys: dict[str, object] = {"runpod": settings.runpod_api_key, "huggingface": settings.hf_token}
        if keys.get(account.kind, "another package's, or this machine") is not None:
            return None
        try:
            self.of_kind(*account)
        except MissingKeyError as error:
            return error
        return None

    def of(self, event: Deployed | DeployStarted | CanaryStarted) -> Target:
        """The target that serves what was deployed, for asking, looking and deleting."""
        return self.of_kind(event.target, event.owner)

    def delete(self, event: Deployed | DeployStarted, name: str) -> Target:
        """Delete what was deployed; returns the target that served it."""
        target = self.of(event)
        delete_deployed(target, name, event.handle)
        return target

    def of_kind(self, kind: str, owner: str = "") -> Target:
        """A target for looking and deleting alone: the settings that only a new endpoint needs are placeholders.

        `owner` is the namespace of endpoints at Hugging Face.
        """
        if kind == "local":
            return self.local()
        if kind == "runpod":
            return self.build(RunPodDeploy(image="-", bundles="https://-"))
        if kind == "huggingface":
            return self.build(HuggingFaceDeploy(repository=f"{owner or '-'}/-"))
        return self.build(OtherDeploy(kind=kind))


def elsewhere(entries: Sequence[Entry], stage: Stage, account: Account) -> list[Begun]:
    """What may exist of a stage's endpoint at other accounts: it moves, or a command was killed while it moved."""
    events = [row.event for row in entries if is_begun(row, stage)]
    if all(account_at(event) == account for event in events if isinstance(event, Begun)):
        return []  # most of them, at every pass: nothing is folded for them
    begun = unretired(entries, stage).begun
    unnamed = Account(account.kind)  # rows of older releases do not name the owner
    return [event for event in begun if account_at(event) not in {account, unnamed}]


def owner_of(config: AnyDeploy) -> str:
    """The namespace at Hugging Face that a config deploys to; "" elsewhere."""
    return config.repository.partition("/")[0] if isinstance(config, HuggingFaceDeploy) else ""


def handle_of(config: AnyDeploy, live: LiveEndpoint) -> str:
    """The provider's id of an endpoint, as the ledger keeps it; "" for a process, which has another number each time."""
    return "" if config.kind == "local" else live.handle


def delete_deployed(target: Target, name: str, handle: str) -> None:
    """Delete an endpoint, by its provider's id where the ledger has it and the target can."""
    from serving.targets.contract import Identified

    if handle and isinstance(target, Identified):
        target.delete_by(name, handle)
    else:
        target.delete(name)


def account_at(event: Begun | CanaryStarted) -> Account:
    """The account that a row of the ledger is about."""
    return Account(event.target, event.owner)


def account_of(config: AnyDeploy) -> Account:
    """The account that a config deploys to: what fails there fails for all of its endpoints."""
    return Account(config.kind, owner_of(config))


def _runpod(config: RunPodDeploy, settings: Settings) -> Target:
    from serving.targets.bundle_stores import StaticBundleStore
    from serving.targets.huggingface.bundle_store import HubBundleStore
    from serving.targets.huggingface.hub import hub_of
    from serving.targets.runpod.client import RunPodClient
    from serving.targets.runpod.target import RunPodTarget

    if settings.runpod_api_key is None:
        remedy = "set it to a key of your account, or try `modelyard clouds fake`"
        raise MissingKeyError("RUNPOD_API_KEY", "is not set", remedy)
    if config.bundles.startswith("hf:"):
        repository, private = config.bundles.removeprefix("hf:"), not config.public
        store = HubBundleStore(hub_of(settings), repository, private=private, secret=config.bundle_secret)
    else:
        store = StaticBundleStore(config.bundles, settings.bundle_token, config.bundle_secret)
    return RunPodTarget(RunPodClient(settings.runpod_api_key, settings.runpod_url), config, store)


def _huggingface(config: HuggingFaceDeploy, settings: Settings) -> Target:
    from serving.bundle.web_page import WebPage
    from serving.targets.huggingface.endpoints import Endpoints
    from serving.targets.huggingface.hub import hub_of
    from serving.targets.huggingface.space import space_files
    from serving.targets.huggingface.target import HuggingFaceTarget

    def page(bundle: Bundle) -> Mapping[str, bytes | Path]:
        return space_files(WebPage(bundle, settings.node_modules.parent))

    endpoints = Endpoints(hub_of(settings), owner_of(config), settings.hf_endpoints_url)
    return HuggingFaceTarget(endpoints, config, page=page)
