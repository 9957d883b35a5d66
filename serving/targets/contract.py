"""What a deploy target can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from registry.records import Record
from serving.bundle import Bundle


class Live(Record):
    """An endpoint that was deployed."""

    name: str
    model: str
    version: int
    bundle: str
    url: str
    handle: str


Smoke = Callable[[str], None]
"""Called with a new endpoint's address before any traffic goes there; raises when it does not answer as it must."""


class Target(Protocol):
    """A place where bundles are served.

    `deploy` is idempotent by (name, bundle): it never leaves two endpoints of one name, and when it raises, the endpoint
    that answered before still does. `delete` of what is not there is fine.
    """

    def deploy(self, name: str, bundle: Bundle, smoke: Smoke) -> Live:
        """Start the bundle, smoke-test it, and only then let `name` mean it."""
        ...

    def find(self, name: str) -> Live | None:
        """The endpoint of that name, as recorded."""
        ...

    def list(self) -> list[Live]:
        """Every recorded endpoint, by name."""
        ...

    def answers(self, live: Live) -> bool:
        """Whether the endpoint answers now, and for that bundle."""
        ...

    def delete(self, name: str) -> None:
        """Stop and forget an endpoint."""
        ...
