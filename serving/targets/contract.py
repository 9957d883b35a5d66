"""The contract of deploy targets."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from registry.amounts import format_usd
from registry.records import Record
from serving.bundle.bundle import Bundle
from serving.targets.waiting import Stopwatch

if TYPE_CHECKING:
    from serving.canary.tally import Tally

State = Literal["live", "asleep", "starting", "broken", "gone"]
Health = Literal["live", "slow", "refusing", "gone"]
"""One health check: answered; not in time, though its process accepts requests; not listening, though its process runs; or
there is no such process, or another one answers."""


class LiveEndpoint(Record):
    """A deployed endpoint.

    `handle` is the provider's id (a process number, an endpoint's id), `source` is where its files came from.
    """

    name: str
    model: str
    version: int
    bundle: str
    url: str
    handle: str
    source: str = ""


class Quote(Record):
    """What an endpoint will cost, in US dollars, before it is made.

    A month costs what is kept on without a request, and at most what all of its workers cost that never stop; with a cap at
    which they are stopped, no more than that. `notes` say what a price rests on, and what the vendor leaves open.
    """

    usd_per_busy_hour: Decimal
    usd_per_idle_month: Decimal
    usd_per_month_at_most: Decimal
    hardware: str
    as_of: str
    source: str
    stops_at_usd: Decimal | None = None
    notes: tuple[str, ...] = ()

    @property
    def usd_per_month_bound(self) -> Decimal:
        """What a month may cost: by the workers, or by the cap that stops them before that."""
        most = self.usd_per_month_at_most
        return most if self.stops_at_usd is None else min(most, self.stops_at_usd)

    @property
    def in_words(self) -> str:
        """The amounts, for a line."""
        busy, idle, most = map(format_usd, (self.usd_per_busy_hour, self.usd_per_idle_month, self.usd_per_month_at_most))
        text = f"{busy} an hour of one worker while busy, {idle} a month while idle, {most} a month at most"
        if self.usd_per_month_bound < self.usd_per_month_at_most:
            text += f", stopped at {format_usd(self.usd_per_month_bound)}"
        return f"{text} ({self.source}, {self.as_of})"


class Publication(Record):
    """What a deployment uploads, where to, and who will be able to read it there."""

    what: str
    files: int
    megabytes: float
    where: str
    public: bool
    readers: str

    def __str__(self) -> str:
        kind = "public" if self.public else "private"
        return f"{self.what} ({self.files} files, {self.megabytes:.1f} MB) to {self.where}, {kind}: {self.readers} can read it"


class Status(Record):
    """An endpoint's state, and a line of detail."""

    state: State
    detail: str


Ask = Callable[[bytes], dict[str, float]]
"""An image file's bytes → each class's probability, through the endpoint as a client would.

Raises InputError where the image was looked at and refused, UnavailableError for anything else: a key, a bill, a limit, a
server or an address that is wrong are no fault of an image.
"""

Smoke = Callable[[Ask], None]
"""A smoke test: called with a new endpoint before it gets traffic; raises if an answer is wrong."""


class Target(Protocol):
    """A place where bundles are served.

    `deploy` is idempotent by (name, bundle): it never leaves two endpoints of one name, and when it raises, the endpoint
    that answered before still does. `delete` of a missing endpoint does nothing.
    """

    def quote(self) -> Quote:
        """The cost of an endpoint created now."""
        ...

    def deploy(self, name: str, bundle: Bundle, smoke: Smoke) -> LiveEndpoint:
        """Start the bundle, smoke-test it, and only then switch `name` to it; an existing endpoint is updated."""
        ...

    def rollback(self, name: str, smoke: Smoke) -> LiveEndpoint:
        """Switch `name` back to the bundle before. Raises NotFoundError if there is none."""
        ...

    def find(self, name: str) -> LiveEndpoint | None:
        """The endpoint of that name, as recorded."""
        ...

    def list(self) -> list[LiveEndpoint]:
        """Every recorded endpoint, by name."""
        ...

    def status(self, name: str) -> Status:
        """Its state, without waking it."""
        ...

    def answers(self, live: LiveEndpoint) -> bool:
        """Whether the endpoint answers now, or would after waking, with that bundle."""
        ...

    def ask(self, live: LiveEndpoint) -> Ask:
        """A function that asks the endpoint as a client would."""
        ...

    def logs(self, name: str, lines: int) -> list[str]:
        """The newest log lines, oldest first."""
        ...

    def delete(self, name: str) -> None:
        """Stop and forget an endpoint."""
        ...


@runtime_checkable
class Probed(Protocol):
    """A target that can tell an endpoint that is slow from one that is dead."""

    def probe(self, live: LiveEndpoint) -> Health:
        """One health check, now."""
        ...


@runtime_checkable
class Recorded(Protocol):
    """A target that keeps records of its own, which may be damaged while their endpoints answer."""

    def is_recorded(self, name: str) -> bool:
        """Whether the record of an endpoint can be used; deploying the same again writes it anew."""
        ...


@runtime_checkable
class Identified(Protocol):
    """A target whose provider gives endpoints ids, which outlive a change of their names and settings."""

    def delete_by(self, name: str, handle: str) -> None:
        """Delete the endpoint that was deployed as `handle`, and whatever else has that name."""
        ...


@runtime_checkable
class Checked(Protocol):
    """A target that can say beforehand what would keep it from deploying: its cap, account, rights, quota and stock."""

    def check(self, name: str, bundle: Bundle) -> None:
        """Raise what `deploy` would, before anything is uploaded or made."""
        ...


@runtime_checkable
class Publishes(Protocol):
    """A target that uploads a bundle somewhere before it serves it."""

    def publications(self, bundle: Bundle) -> list[Publication]:
        """What `deploy` uploads, where to, and who can read it there."""
        ...


@runtime_checkable
class Timed(Protocol):
    """A target that measures how long a new worker takes until it is ready: the cold start of its provider."""

    @property
    def ready(self) -> Stopwatch:
        """Of the last worker started."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """A target whose requests can be given a time limit; by default one waits as long as a cold start may take."""

    def ask_within(self, live: LiveEndpoint, seconds: float) -> Ask:
        """A function that asks the endpoint, and gives up after so many seconds."""
        ...


@runtime_checkable
class Splits(Protocol):
    """A target that can split an endpoint's traffic itself; for others `canary front` does."""

    def split(self, name: str, canary: LiveEndpoint | None, share: float) -> None:
        """Send a share of `name`'s requests to another endpoint, and count; None ends it and deletes the count."""
        ...

    def tally(self, name: str) -> Tally | None:
        """The counts so far."""
        ...
