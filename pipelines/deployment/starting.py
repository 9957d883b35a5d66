"""Starting an endpoint, and the row that says so: of a stage's endpoint and of one with a name of its own alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from pipelines.deployment.targets import account_at, account_of, handle_of, owner_of
from registry.amounts import round_usd
from registry.errors import ModelyardError
from registry.events import Deployed, DeployStarted, EndpointDeleted, about
from registry.reports.endpoints import Begun, named_endpoints, unretired
from serving.targets.contract import Ask, Checked, LiveEndpoint, Publishes, Timed

if TYPE_CHECKING:
    from pipelines.home import Say
    from pipelines.job.deploys import AnyDeploy
    from registry.protocols import Entry, Ledger
    from registry.records import ModelVersion
    from registry.stages import Stage
    from serving.bundle.bundle import Bundle
    from serving.targets.contract import Quote, Target


class Wanted(Protocol):
    """What is to serve, and where."""

    @property
    def name(self) -> str:
        """The endpoint's name."""
        ...

    @property
    def endpoint(self) -> str:
        """The same, where it is not the name of its stage's endpoint; else ""."""
        ...

    @property
    def config(self) -> AnyDeploy:
        """How and where it is deployed."""
        ...

    @property
    def stage(self) -> Stage:
        """The stage that the version holds."""
        ...

    @property
    def version(self) -> ModelVersion:
        """Whose bundle it is."""
        ...

    @property
    def digest(self) -> str:
        """Of the version's own bytes."""
        ...

    @property
    def bundle(self) -> Bundle:
        """What is served."""
        ...


def start(
    wanted: Wanted, target: Target, quote: Quote, try_out: Callable[[Ask], None], ledger: Ledger, say: Say
) -> tuple[LiveEndpoint, Deployed]:
    """Let the target serve the bundle once `try_out` likes its answers; the endpoint, and what the ledger records of it.

    What is refused is refused before an upload is announced, and before the ledger says that an endpoint may exist.
    """
    if isinstance(target, Checked):
        target.check(wanted.name, wanted.bundle)
    for upload in target.publications(wanted.bundle) if isinstance(target, Publishes) else ():
        say(f"{wanted.name}: publishing {upload}")
    with _recorded_start(wanted, target, ledger):
        live = target.deploy(wanted.name, wanted.bundle, try_out)
    cold = target.ready.seconds if isinstance(target, Timed) else None
    return live, Deployed(
        **about(wanted.version, wanted.digest),
        stage=wanted.stage,
        target=wanted.config.kind,
        url=live.url,
        bundle=live.bundle,
        usd_per_month=round_usd(quote.usd_per_idle_month, 2),
        price_as_of=quote.as_of,
        smoke_images=wanted.config.smoke_images,
        cold_start_s=None if cold is None else round(cold, 3),
        owner=owner_of(wanted.config),
        handle=handle_of(wanted.config, live),
        endpoint=wanted.endpoint,
        max_usd_per_month=quote.stops_at_usd,
    )


@contextmanager
def _recorded_start(wanted: Wanted, target: Target, ledger: Ledger) -> Iterator[None]:
    """Before anything is made, the ledger says so, once for each account; and that it is gone, where an attempt left nothing.

    What runs on this machine is found by the records of its processes. An endpoint of that name that is there and that the
    ledger does not know is another home's: no row of ours gets it deleted before a version of ours is served by it.
    """
    account, known = account_of(wanted.config), _known(wanted, ledger.entries(wanted.version.model))
    is_known = any(account_at(event) == account for event in known)
    if account.kind == "local" or is_known or target.find(wanted.name):
        yield
        return
    fields = {"stage": wanted.stage, "target": account.kind, "owner": account.owner, "endpoint": wanted.endpoint}
    begun = DeployStarted(**about(wanted.version, wanted.digest), **fields)  # pyright: ignore[reportArgumentType]
    ledger.append(begun)
    try:
        yield
    except ModelyardError:
        with suppress(ModelyardError):  # who cannot be asked may have it
            if target.find(wanted.name) is None:
                ledger.append(deleted(begun, "the attempt failed and left nothing"))
        raise


def deleted(event: Begun, reason: str) -> EndpointDeleted:
    """The row by which an endpoint ends that bears a name of its own, or that is at one of several accounts."""
    fields = {"stage": event.stage, "target": event.target, "owner": event.owner, "endpoint": event.endpoint}
    return EndpointDeleted(**event.subject, **fields, reason=reason)  # pyright: ignore[reportArgumentType]


def _known(wanted: Wanted, entries: Sequence[Entry]) -> list[Begun]:
    if wanted.endpoint:
        return [event for event in named_endpoints(entries) if event.endpoint == wanted.endpoint]
    return unretired(entries, wanted.stage).begun


def is_among(event: Deployed, rows: Iterable[Deployed]) -> bool:
    """Whether one of the rows says the same. An endpoint that was left alone measured no cold start."""
    return any(
        row == (event if event.cold_start_s is not None else event.model_copy(update={"cold_start_s": row.cold_start_s}))
        for row in rows
    )
