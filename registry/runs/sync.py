"""The runs as they are now, or as they were when their server last answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from registry.address import mlflow_address, redact_login
from registry.errors import ModelyardError
from registry.runs.mirror import Progress, RunMirror, SyncState
from registry.runs.rows import RunRow
from registry.runs.server import RunServer
from registry.settings import Settings

_MOST_CURVES = 50
_SPANS = ((86_400, "day"), (3600, "hour"), (60, "minute"))


class SyncStatus(NamedTuple):
    """How far the copy is. `link` is before a run's path; `missing` says why the server does not answer, if so."""

    synced: SyncState
    link: str
    missing: str


def sync_runs(settings: Settings, copy: RunMirror, progress: Progress, *, whole: bool = False) -> SyncStatus:
    """Bring a copy up to date. A server that does not answer leaves it as it was, and is not an error."""
    try:
        address = mlflow_address(settings)
        with RunServer(address) as server:
            return SyncStatus(copy.sync(server, progress, whole=whole), redact_login(address).rstrip("/"), "")
    except ModelyardError as error:
        return SyncStatus(copy.state(), "", str(error))


def read_curves(
    settings: Settings, rows: Sequence[RunRow], metric: str, label: Callable[[RunRow], str]
) -> dict[str, list[tuple[int, int, float]]]:
    """Label → the (step, milliseconds, value) of a metric, of the first fifty runs that have it.

    Raises UnavailableError where the server does not answer: curves are not copied.
    """
    held = [row for row in rows if metric in row.metrics][:_MOST_CURVES]
    with RunServer(mlflow_address(settings)) as server:
        return {label(row): server.curve(row.run_id, metric) for row in held}


def format_ago(seconds: float) -> str:
    """How long ago, in one unit. A clock that was set back makes nothing negative."""
    for span, name in _SPANS:
        if seconds >= span:
            count = int(seconds // span)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "a moment ago"
