"""Thousands of runs in a real MLflow server, and the rows about reading them."""

from __future__ import annotations

import functools
import os
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from registry_scale import _server

METRICS = 15
_MANY = 10_000
_VIEW = Path(__file__).resolve().parent.parent / "dashboards" / "views" / "runs.py"
_BASE_MS = 1_760_000_000_000


def fill_runs(database: Path, count: int, metrics: int = METRICS, start: int = 0) -> None:
    """Straight into MLflow's tables: by its API this takes hours. A run a minute, some failed, each with 8 parameters."""
    with sqlite3.connect(database, timeout=60) as db:
        ids = [f"{number:032x}" for number in range(start, start + count)]
        runs = [
            (run_id, f"run {index}", "LOCAL", "ada", "FAILED" if index % 17 == 0 else "FINISHED", _BASE_MS + index * 60_000)
            for index, run_id in enumerate(ids, start)
        ]
        db.executemany(
            "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, "
            "artifact_uri, experiment_id, source_name, entry_point_name, source_version) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 'active', '', 0, '', '', '')",
            [(*run, run[-1] + 50_000) for run in runs],
        )
        names = [
            "test_top1",
            "cost_usd",
            "latency_p95_ms",
            "train_seconds",
            *(f"metric_{number}" for number in range(metrics - 4)),
        ]
        figures = [
            (name, (index * 31 + number * 17) % 1009 / 1009, _BASE_MS, 0, 0, run_id)
            for index, run_id in enumerate(ids, start)
            for number, name in enumerate(names)
        ]
        db.executemany(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?,?,?,?,?,?)", figures
        )
        params = [
            (f"param_{number}", str(index % (number + 2)), run_id)
            for index, run_id in enumerate(ids, start)
            for number in range(8)
        ]
        db.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", params)
        tags = [("mlflow.user", "ada", run_id) for run_id in ids] + [
            ("mlflow.runName", f"run {run_id}", run_id) for run_id in ids
        ]
        db.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)


@contextmanager
def _filled(count: int) -> Iterator[tuple[str, Path]]:
    """A server with so many runs, and a folder."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        home = Path(folder) / "home"
        with _server(home, "modelyard") as uri:
            fill_runs(home / "mlflow.db", count)
            yield uri, home


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _check(holds: bool, why: str) -> None:  # noqa: FBT001 a condition
    if not holds:
        sys.exit(f"bench: {why}")


def _search(uri: str) -> Any:
    """What stock MLflow offers: every run as a data frame."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    return mlflow.search_runs(search_all_experiments=True, max_results=1_000_000)


@functools.cache
def _measured(count: int) -> dict[str, float]:
    """Everything of one size, ours before the peer, because the peer's data frame fills the memory. Seconds."""
    from streamlit.testing.v1 import AppTest

    from dashboards.runs import run_frame
    from registry.runs.mirror import RunMirror
    from registry.runs.server import RunServer

    with _filled(count) as (uri, home), RunServer(uri) as server:
        os.environ |= {"MODELYARD_HOME": str(home), "MODELYARD_MLFLOW_URI": uri}
        copy = RunMirror(home / "runs.db", uri)

        def first() -> None:
            copy.sync(server)
            _check(len(run_frame(copy.rows(), uri)) == count, "rows are missing")

        measured = {"first": _timed(first)}
        measured["unchanged"] = max(_timed(lambda: copy.sync(server)) for _ in range(10))
        spans = list[float]()
        for turn in range(5):
            with sqlite3.connect(home / "mlflow.db", timeout=60) as db:
                update = (turn + 2, f"{7:032x}")
                db.execute("UPDATE latest_metrics SET value = ? WHERE run_uuid = ? AND key = 'test_top1'", update)
            spans.append(_timed(lambda: copy.sync(server)))
            late = next(row for row in copy.rows() if row.run_id == f"{7:032x}")
            _check(late.metrics["test_top1"] == turn + 2, "the late metric is missing")
        measured["changed"] = statistics.median(spans)
        AppTest.from_file(str(_VIEW), default_timeout=300).run()  # imports
        measured["page"] = _page()
        measured["gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        measured["peer"] = _timed(lambda: _check(len(_search(uri)) == count, "rows are missing"))
    return measured


def _page() -> float:
    """The Runs page's script, with nothing kept in the process from before."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    st.cache_data.clear()
    st.cache_resource.clear()
    page = AppTest.from_file(str(_VIEW), default_timeout=300)
    span = _timed(page.run)
    _check(not page.exception and not page.warning, f"{page.exception} {page.warning}")
    return span


def first_sync(count: int) -> dict[str, Any]:
    """Every run from the server into our table and from there into a data frame (ours); `mlflow.search_runs` (peer)."""
    measured = _measured(count)
    return {"ours": measured["first"], "peer": measured["peer"], "limit": measured["peer"], "unit": "s"}


def unchanged_sync(count: int) -> dict[str, Any]:
    """A sync with no changes: the slowest of ten (ours); `mlflow.search_runs` again (peer)."""
    measured = _measured(count)
    return {"ours": measured["unchanged"] * 1e3, "peer": measured["peer"] * 1e3, "limit": 200.0, "unit": "ms"}


def changed_sync(count: int) -> dict[str, Any]:
    """A sync after an old run got a late metric: the median of five (ours); `mlflow.search_runs` (peer)."""
    measured = _measured(count)
    return {"ours": measured["changed"] * 1e3, "peer": measured["peer"] * 1e3, "limit": measured["peer"] * 1e3, "unit": "ms"}


def runs_page(count: int) -> dict[str, Any]:
    """The Runs page's script from start to end after the first sync, with cold caches.

    The peer is `mlflow.search_runs` alone.
    """
    measured = _measured(count)
    return {
        "ours": measured["page"],
        "peer": measured["peer"],
        "limit": 1.0 if count <= _MANY else measured["peer"],
        "unit": "s",
    }


def runs_memory(count: int) -> dict[str, Any]:
    """Peak memory of a process that synced all runs and rendered the page twice, caches included."""
    return {"ours": _measured(count)["gigabytes"], "peer": None, "limit": 1.0, "unit": "GB"}


def rows() -> dict[str, Callable[[], dict[str, Any]]]:
    """The rows, by name: each at 10,000 runs of 15 metrics, and at 100,000."""
    benches: dict[str, Callable[[], dict[str, Any]]] = {}
    for name, row in (
        ("first_sync", first_sync),
        ("unchanged", unchanged_sync),
        ("changed", changed_sync),
        ("page", runs_page),
        ("memory", runs_memory),
    ):
        for size, count in (("10k", _MANY), ("100k", 10 * _MANY)):
            if (name, size) == ("memory", "100k"):
                continue
            bench = partial(row, count)
            bench.__doc__ = row.__doc__  # what the page prints
            benches[f"runs_{name}_{size}"] = bench
    return benches
