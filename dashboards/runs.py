"""What the Runs page shows, without Streamlit: tables, groups, the Pareto front, curves, differences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from dashboards.words import cell
from registry.errors import shorten
from registry.records import BACKGROUND, Evaluation
from registry.runs.rows import RunRow
from registry.runs.select import differing_params, is_bookkeeping, pareto, smooth, value_of

FIRST = ("test_top1", "val_top1", "test_map50_95", "val_map50_95", "cost_usd", "train_seconds", "latency_p95_ms")
CURVES = ("val_top1", "val_map50_95", "val_loss", "train_loss", "loss")
"""Metrics whose curves are shown where the viewer chose none: the first two that there are."""
MOST_METRICS = 30
_FEW = 3
MOST_PARAMS = 100
_PARAMS = "params."
_DATASET = "modelyard.dataset"
_SHOWN = 2000
_MOST_EMPTY_CELLS = 50


def label(row: RunRow) -> str:
    """What a run is called in legends: its name is not unique."""
    return f"{shorten(row.name, 40)} {row.run_id[:6]}"


def metric_names(rows: Iterable[RunRow]) -> list[str]:
    """Metrics, the usual ones first, then those that most runs have, and what MLflow says of the machine last."""
    counted = _counted(row.metrics for row in rows)
    known = [name for name in FIRST if name in counted]
    others = (name for name in counted if name not in FIRST)
    return known + sorted(others, key=lambda name: (name.startswith("system/"), -counted[name], name))


def param_names(rows: Iterable[RunRow]) -> list[str]:
    """Parameters, those that most runs have first."""
    counted = _counted(row.params for row in rows)
    return sorted(counted, key=lambda name: (-counted[name], name))


def _counted(mappings: Iterable[Mapping[str, object]]) -> Counter[str]:
    """How many mappings have each name."""
    totals = Counter[str]()
    # Most runs have the same names, so equal sets of names are counted once: ten thousand runs take milliseconds.
    for names, count in Counter(map(tuple, mappings)).items():
        for name in names:
            totals[name] += count
    return totals


def column_names(rows: Sequence[RunRow], metrics: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns that the table can have beside its own, and those that it has where the viewer chose none.

    Metrics come first, then parameters, with `params.` before their names. What says only what a run was given, and what
    MLflow measures of the machine, is shown where it is asked for.
    """
    usual = [name for name in FIRST if name in metrics]
    others = [name for name in metrics if name not in usual and not name.startswith("system/")]
    params = sorted(param_names(rows)[:MOST_PARAMS], key=is_bookkeeping)
    return [*metrics[:MOST_METRICS], *(f"params.{name}" for name in params)], usual if len(usual) >= _FEW else [
        *usual,
        *others[:_FEW],
    ]


def run_frame(
    rows: Sequence[RunRow], link: str, names: Sequence[str] | None = None, versions: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One row a run, newest first; a figure that a run does not have is empty. Of many metrics only the first thirty.

    What decides comes first: a phone shows the first columns.

    `names` are metrics, or parameters with `params.` before them. `versions` is run → the version that it ended in.
    """
    names = list(metric_names(rows)[:MOST_METRICS] if names is None else names)
    versions = versions or {}
    table: dict[str, Any] = {
        "run": [cell(row.name) for row in rows],
        "version": [versions.get(row.run_id, "") for row in rows],
        "data set": [cell(row.tags.get(_DATASET, "") or row.params.get("dataset", "")[:12]) for row in rows],
        "experiment": [cell(row.experiment) for row in rows],
        "started": pd.to_datetime([min(max(row.started_ms, 0), 4_102_444_800_000) for row in rows], unit="ms", utc=True),
        "status": [row.status for row in rows],
        "user": [row.tags.get("mlflow.user", "") for row in rows],
        "not numbers": [", ".join(row.odd[:5]) for row in rows],
        "MLflow": [f"{link}{row.path}" for row in rows],
    }
    figures = {name if name not in table else f"{name} (metric)": _column(rows, name) for name in names}
    if not any(table["not numbers"]):
        table.pop("not numbers")
    first = {name: table.pop(name) for name in ("run", "version")}
    return pd.DataFrame(first | figures | table)


def _column(rows: Sequence[RunRow], name: str) -> list[Any]:
    if name.startswith(_PARAMS) and not any(name in row.metrics for row in rows):
        return [cell(row.params.get(name.removeprefix(_PARAMS), "")) for row in rows]
    return [row.metrics.get(name, math.nan) for row in rows]


def group_names(metrics: Iterable[str], params: Sequence[str]) -> list[str]:
    """What runs can be grouped by; a parameter that is named like something else has `params.` before it."""
    own = ["experiment", "user", "status"]
    taken = {*own, "name", "run_id", *metrics}
    return own + [f"params.{name}" if name in taken else name for name in params[:200]]


def group_table(rows: Sequence[RunRow], by: str, metric: str) -> pd.DataFrame:
    """One row a group: how many runs, how many failed, the metric's max, mean and min, and their total cost."""
    groups: dict[str, list[RunRow]] = {}
    for row in rows:
        key = value_of(row, by)
        groups.setdefault(cell("" if key is None else key), []).append(row)
    lines = []
    for key, mine in groups.items():
        values = [row.metrics[metric] for row in mine if metric in row.metrics]
        spread = (max(values), sum(values) / len(values), min(values)) if values else (None, None, None)
        spent = sum(row.metrics.get("cost_usd", 0.0) for row in mine)
        lines.append((key, len(mine), sum(row.status == "FAILED" for row in mine), *spread, spent))
    figures = ["runs", "failed", f"max {metric}", f"mean {metric}", f"min {metric}", "total cost_usd"]
    columns = [f"{by} (grouped by)" if by in figures else by, *figures]
    return pd.DataFrame(lines, columns=columns).sort_values("runs", ascending=False, ignore_index=True)


def front_table(rows: Sequence[RunRow], cost: str, quality: str) -> pd.DataFrame:
    """Columns run, experiment, cost, quality, front: the runs that have both. The newest 2,000, and all of the front."""
    held = [row for row in rows if cost in row.metrics and quality in row.metrics]
    front = pareto([(row.metrics[cost], row.metrics[quality]) for row in held])
    points = [
        (label(row), cell(row.experiment), row.metrics[cost], row.metrics[quality], best)
        for index, (row, best) in enumerate(zip(held, front, strict=True))
        if best or index < _SHOWN
    ]
    return pd.DataFrame(points, columns=["run", "experiment", "cost", "quality", "front"])


def parallel_table(rows: Sequence[RunRow], axes: Sequence[str]) -> pd.DataFrame:
    """Columns run, axis, value, share: each figure scaled from its lowest (0) to its highest (1). At most 200 runs.

    A parameter whose values are numbers is an axis too. A run that lacks a figure has a gap there.
    """
    points = list[tuple[str, str, float, float]]()
    for axis in axes:
        values = {row.run_id: value for row in rows[:200] if (value := _figure(row, axis)) is not None}
        low, high = min(values.values(), default=0.0), max(values.values(), default=0.0)
        points += [
            (label(row), axis, values[row.run_id], (values[row.run_id] - low) / (high - low) if high > low else 0.5)
            for row in rows[:200]
            if row.run_id in values
        ]
    return pd.DataFrame(points, columns=["run", "axis", "value", "share"])


def _figure(row: RunRow, axis: str) -> float | None:
    if axis in row.metrics:
        return row.metrics[axis]
    try:
        value = float(row.params[axis])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None


def curve_table(curves: Mapping[str, Sequence[tuple[int, int, float]]], weight: float) -> pd.DataFrame:
    """Columns run, step, value (smoothed) and measured, from each run's (step, milliseconds, value)."""
    points = list[tuple[str, int, float, float]]()
    for run, curve in curves.items():
        smoothed = smooth([value for _, _, value in curve], weight)
        points += [(run, step, shown, value) for (step, _, value), shown in zip(curve, smoothed, strict=True)]
    return pd.DataFrame(points, columns=["run", "step", "value", "measured"])


def difference_table(rows: Sequence[RunRow], *, every: bool = False) -> pd.DataFrame:
    """One row a parameter that is not the same in all of the runs, one column a run; digests and paths only with `every`."""
    shown = [(name, values) for name, values in differing_params(rows).items() if every or not is_bookkeeping(name)]
    return pd.DataFrame(
        [(name, *(cell(value) for value in values)) for name, values in shown],
        columns=["parameter", *(label(row) for row in rows)],
    )


def confusion_table(evaluation: Evaluation) -> pd.DataFrame:
    """Columns truth, answer, images, share: each cell of the confusion matrix, with its share of the truth's images.

    With more than 50 classes empty cells are left out, except on the diagonal: a browser does not draw 40,000 in a second.
    """
    names = [score.label for score in evaluation.classes] + ([BACKGROUND] if evaluation.task == "detect" else [])
    every = len(names) <= _MOST_EMPTY_CELLS
    cells = [
        (truth, answer, count, count / sum(line) if sum(line) else 0.0)
        for truth, line in zip(names, evaluation.confusion, strict=False)
        for answer, count in zip(names, line, strict=False)
        if every or count or truth == answer
    ]
    return pd.DataFrame(cells, columns=["truth", "answer", "images", "share"])
