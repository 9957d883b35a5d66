"""Amounts that were spent, and their sums by whatever is asked: of a month, a model, an experiment, a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

from registry.amounts import round_usd
from registry.records import Record

By = Literal["run", "experiment", "model", "person", "provider", "month", "endpoint"]
TRAINING = ("training", "failed training")
_ZERO = Decimal(0)


class Spend(Record):
    """One amount, within one month. `resource` is the run's id, the endpoint's name, or what the bill calls the thing."""

    what: Literal["training", "failed training", "serving", "other"]
    basis: Literal["measured", "quoted", "billed"]
    at: datetime
    model: str
    version: int = 0
    provider: str
    person: str = ""
    resource: str
    usd: Decimal

    @property
    def month(self) -> str:
        """As in 2026-11, in UTC."""
        return f"{self.at:%Y-%m}"


class Group(Record):
    """One sum. `per_promoted_usd` is all of it over the versions that came to production, where any did."""

    key: str
    training_usd: Decimal = _ZERO
    failed_usd: Decimal = _ZERO
    serving_usd: Decimal = _ZERO
    other_usd: Decimal = _ZERO
    billed_usd: Decimal = _ZERO
    usd: Decimal = _ZERO
    runs: int = 0
    failed: int = 0
    promoted: int = 0
    per_promoted_usd: Decimal | None = None


def grouped(
    spent: Iterable[Spend],
    by: By,
    promoted: Callable[[str], int] | None = None,
    experiments: Mapping[str, str] | None = None,
) -> list[Group]:
    """Sums, the dearest first. `promoted` tells how many versions of a model came to production in the time that is summed.

    `experiments` names the MLflow experiment that a run lies in; a run that it does not name, and all serving, is its
    model's, whose experiment of ours bears the model's name.
    """
    sums = defaultdict[str, list[Spend]](list)
    for spend in spent:
        sums[_key(spend, by, experiments or {})].append(spend)
    groups = [_sum(key, rows, promoted(key) if promoted and by == "model" else 0) for key, rows in sums.items()]
    return sorted(groups, key=lambda group: (-group.usd, group.key))


def spent_in(spent: Iterable[Spend], model: str, month: str) -> Decimal:
    """US dollars of a model's month."""
    return sum((spend.usd for spend in spent if (spend.model, spend.month) == (model, month)), _ZERO)


def _key(spend: Spend, by: By, experiments: Mapping[str, str]) -> str:
    kind = "training" if spend.what in TRAINING else spend.what
    if by == "endpoint":
        return spend.resource if kind == "serving" else f"({kind})"
    if by == "run":
        return spend.resource if kind == "training" else f"({kind})"
    if by == "experiment":
        return (experiments.get(spend.resource) if kind == "training" else None) or spend.model or "(none)"
    if by == "person":
        return spend.person or "(nobody)"
    return str(getattr(spend, by)) or "(none)"


def _sum(key: str, rows: list[Spend], promoted: int) -> Group:
    def of(*kinds: str, basis: str = "") -> Decimal:
        return sum((spend.usd for spend in rows if (not kinds or spend.what in kinds) and basis in {"", spend.basis}), _ZERO)

    def runs(*kinds: str) -> int:
        return len({(spend.model, spend.resource) for spend in rows if spend.what in kinds})

    total = of()
    return Group(
        key=key,
        training_usd=of("training"),
        failed_usd=of("failed training"),
        serving_usd=of("serving"),
        other_usd=of("other"),
        billed_usd=of(basis="billed"),
        usd=total,
        runs=runs(*TRAINING),
        failed=runs("failed training"),
        promoted=promoted,
        per_promoted_usd=round_usd(total / promoted) if promoted else None,
    )
