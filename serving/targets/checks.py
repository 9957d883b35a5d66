"""Checks before money flows: each a question to a provider or a registry, answered by a line, with a remedy if it failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from registry.errors import ModelyardError, UnavailableError
from registry.records import Record

State = Literal["ok", "failed", "unknown"]
"""`unknown`: it cannot be asked, from here or at all. That is no reason to refuse a deployment."""


class Check(Record):
    """One answer."""

    name: str
    state: State
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.state:<8}{self.name}: {self.text}{f'; {self.remedy}' if self.remedy else ''}"


def check(name: str, probe: Callable[[], str]) -> Check:
    """Ask: what the probe returns is how it is; UnavailableError leaves it unknown, any other error of ours is a failure."""
    try:
        return Check(name=name, state="ok", text=probe())
    except UnavailableError as error:
        return Check(name=name, state="unknown", text=f"{error.subject} {error.expectation}", remedy=error.remedy)
    except ModelyardError as error:
        return Check(name=name, state="failed", text=f"{error.subject} {error.expectation}", remedy=error.remedy)
