"""What a deploy target can do."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from registry.records import Record
from serving.bundle.bundle import Bundle
from serving.targets.waiting import Stopwatch

if TYPE_CHECKING:
    from serving.canary.tally import Tally

State = Literal["live", "asleep", "starting", "broken", "gone"]


class LiveEndpoint(Record):
    """An endpoint that was deployed.

    `handle` is what the provider calls it (a process number, an endpoint's id), `source` where its files came from.
    """

    name: str
    model: str
    version: int
    bundle: str
    url: str
    handle: str
    source: str = ""


class Quote(Record):
    """What an endpoint will cost, in US dollars, before it is made."""

    usd_per_busy_hour: Decimal
    usd_per_idle_month: Decimal
    usd_per_month_at_most: Decimal
    hardware: str
    as_of: str
    source: str


class Status(Record):
    """How an endpoint is now, in a word and in a line."""

    state: State
    detail: str


Ask = Callable[[bytes], dict[str, float]]
"""An image file's bytes → each class's probability, through the endpoint and as a client would."""

Smoke = Callable[[Ask], None]
"""Called with a new endpoint before any traffic goes there; raises when it does not answer as it must."""


class Target(Protocol):
    """A place where bundles are served.

    `deploy` is idempotent by (name, bundle): it never leaves two endpoints of one name, and when it raises, the endpoint
    that answered before still does. `delete` of what is not there is fine.
    """

    def quote(self) -> Quote:
        """What an endpoint made now would cost."""
        ...

    def deploy(self, name: str, bundle: Bundle, smoke: Smoke) -> LiveEndpoint:
        """Start the bundle, smoke-test it, and only then let `name` mean it; of a standing endpoint, update it."""
        ...

    def rollback(self, name: str, smoke: Smoke) -> LiveEndpoint:
        """Let `name` mean the bundle that it meant before. Raises NotFoundError where there is none."""
        ...

    def find(self, name: str) -> LiveEndpoint | None:
        """The endpoint of that name, as recorded."""
        ...

    def list(self) -> list[LiveEndpoint]:
        """Every recorded endpoint, by name."""
        ...

    def status(self, name: str) -> Status:
        """How it is now, without waking it."""
        ...

    def answers(self, live: LiveEndpoint) -> bool:
        """Whether the endpoint answers now, or would as soon as it is asked, and for that bundle."""
        ...

    def ask(self, live: LiveEndpoint) -> Ask:
        """What a client would call."""
        ...

    def logs(self, name: str, lines: int) -> list[str]:
        """The newest lines that it said, oldest of them first."""
        ...

    def delete(self, name: str) -> None:
        """Stop and forget an endpoint."""
        ...


@runtime_checkable
class Timed(Protocol):
    """A target that measures how long a new worker takes until it is ready: the cold start of its provider."""

    @property
    def ready(self) -> Stopwatch:
        """Of the last worker that was started."""
        ...


@runtime_checkable
class Splits(Protocol):
    """A target that shares an endpoint's traffic with another endpoint by itself; for others `canary front` does."""

    def split(self, name: str, canary: LiveEndpoint | None, share: float) -> None:
        """Pass a share of `name`'s requests on to another endpoint, and count; None: no more, and forget the count."""
        ...

    def tally(self, name: str) -> Tally | None:
        """What was counted since."""
        ...
