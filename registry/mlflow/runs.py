"""Reading runs, for pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from registry.address import shown
from registry.mlflow.connection import connect, mapping_errors

_MOST = 1000


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run, as far as pages show it. A metric that is absent, NaN or infinite is left out."""

    run_id: str
    experiment: str
    name: str
    status: str
    started: datetime
    metrics: dict[str, float]
    params: dict[str, str]
    url: str


def read_runs(uri: str) -> list[RunRow]:
    """The newest runs of every experiment, newest first, at most a thousand."""
    client = MlflowClient(tracking_uri=connect(uri))
    with mapping_errors(uri, "runs"):
        return _newest(uri, client)


def _newest(uri: str, client: MlflowClient) -> list[RunRow]:
    names = {one.experiment_id: one.name for one in client.search_experiments(view_type=ViewType.ACTIVE_ONLY)}
    runs = client.search_runs(list(names), max_results=_MOST, order_by=["attributes.start_time DESC"])
    return [_row(uri, names, run) for run in runs]


def read_curve(uri: str, run_id: str, metric: str) -> list[tuple[int, float]]:
    """A metric's (step, value) pairs in order of steps."""
    with mapping_errors(uri, f"run '{run_id}'"):
        history = MlflowClient(tracking_uri=connect(uri)).get_metric_history(run_id, metric)
    return sorted((point.step, point.value) for point in history if math.isfinite(point.value))


def read_params(uri: str, run_id: str) -> dict[str, str]:
    """A run's parameters; none where it was deleted."""
    with mapping_errors(uri, f"run '{run_id}'"):
        return dict(MlflowClient(tracking_uri=connect(uri)).get_run(run_id).data.params)


def _row(uri: str, names: dict[str, str], run: Run) -> RunRow:
    info = run.info
    return RunRow(
        run_id=info.run_id,
        experiment=names[info.experiment_id],
        name=info.run_name or info.run_id[:8],
        status=info.status,
        started=datetime.fromtimestamp(info.start_time / 1000, UTC),
        metrics={key: value for key, value in run.data.metrics.items() if math.isfinite(value)},
        params=dict(run.data.params),
        url=f"{shown(uri).rstrip('/')}/#/experiments/{info.experiment_id}/runs/{info.run_id}",
    )
