"""What was deployed where, by the ledger. Nothing heavy is imported here: `status` and `costs` ask."""

from __future__ import annotations

from collections.abc import Sequence

from registry.events import Deployed
from registry.promotion.state import fold
from registry.protocols import Entry
from registry.stages import Stage


def endpoint_name(model: str, stage: Stage) -> str:
    """The deterministic name of a stage's endpoint."""
    return f"{model}-{stage}".replace(" ", "%20")


def last_deployed(entries: Sequence[Entry], stage: Stage) -> Deployed | None:
    """Where a stage of a model was deployed last."""
    found = [one.event for one in entries if isinstance(one.event, Deployed) and one.event.stage is stage and one.flaw is None]
    return found[-1] if found else None


def in_clouds(entries: Sequence[Entry]) -> list[Deployed]:
    """What was deployed elsewhere, by the ledger, and holds its stage still."""
    held = fold(entries).holders
    found = [event for stage in held if (event := last_deployed(entries, stage)) and event.target != "local"]
    return [event for event in found if held[event.stage].identity == event.identity]
