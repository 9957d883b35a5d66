"""One run, as pages and commands show it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from math import isfinite
from typing import TypeVar

import msgspec

from registry.errors import shorten

KIND = "modelyard.kind"
"""The tag of runs that are about gates and data, not about training."""
SEARCH = "search"
"""The kind of the run above a search's trials, which lies with the trainings: MLflow nests runs of one experiment only."""

_LONGEST = 500
_INFINITE = 1.797e308
_LAST_MS = 253_402_300_799_000
_T = TypeVar("_T")
_FROM_MLFLOW = {"mlflow.user", "mlflow.parentRunId", "mlflow.source.git.commit", "mlflow.note.content"}


class RunRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One run. `metrics` are the newest values that are numbers; `odd` names the metrics that are NaN or infinite.

    Times are milliseconds since 1970 in UTC.
    """

    run_id: str
    experiment_id: str
    experiment: str
    name: str
    status: str
    started_ms: int
    ended_ms: int | None
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    odd: list[str] = []

    @property
    def started(self) -> datetime:
        """When it began; a time that no calendar holds is cut to the nearest that one does."""
        return datetime.fromtimestamp(min(max(self.started_ms, 0), _LAST_MS) / 1000, UTC)

    @property
    def path(self) -> str:
        """Where its page is, after the server's address."""
        return f"/#/experiments/{self.experiment_id}/runs/{self.run_id}"

    @property
    def is_training(self) -> bool:
        """Whether it trains a model, and is not one that we made about gates or data."""
        return KIND not in self.tags

    @property
    def digest(self) -> str:
        """Differs where anything that is shown differs."""
        return blake2b(msgspec.msgpack.encode(self, order="deterministic"), digest_size=16).hexdigest()


def split_metrics(values: Mapping[str, float | None]) -> tuple[dict[str, float], list[str]]:
    """Metrics that are numbers, and the names of the others. `None` is NaN; MLflow keeps infinity as the largest number."""
    good = {key: value for key, value in values.items() if value is not None and isfinite(value) and abs(value) < _INFINITE}
    return _sorted(good), sorted(key for key in values if key not in good)


def display_params(values: Mapping[str, str]) -> dict[str, str]:
    """Parameters, each cut to a length that a page can show."""
    return _sorted({key: shorten(value, _LONGEST) for key, value in values.items()})


def display_tags(values: Mapping[str, str]) -> dict[str, str]:
    """Tags that people or we have set, and of MLflow's own those that say whose run it is and where it comes from."""
    kept = {key: value for key, value in values.items() if not key.startswith("mlflow.") or key in _FROM_MLFLOW}
    return display_params(kept)


def _sorted(values: Mapping[str, _T]) -> dict[str, _T]:
    """In the order of names. All of them: a filter may ask for any, and a page chooses what it shows."""
    return {key: values[key] for key in sorted(values)}
