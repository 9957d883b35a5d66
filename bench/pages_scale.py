"""The rows about the dashboard's pages in a large home: 100,000 runs, and a ledger of 10,000 rows."""

from __future__ import annotations

import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.events import AnyEvent

_PAGES = ("overview", "runs", "registry", "costs", "forecast", "data", "live")
_ROOT = Path(__file__).resolve().parent.parent
_VIEWS = _ROOT / "dashboards" / "views"
_RUNS, _ROWS, _MODELS, _TIMES = 100_000, 10_000, 20, 5


def rows() -> dict[str, Callable[[], dict[str, Any]]]:
    """The benchmarks of this file."""
    return {f"page_{name}_10k": _row(name) for name in _PAGES}


def _row(name: str) -> Callable[[], dict[str, Any]]:
    def measure() -> dict[str, Any]:
        return {"ours": _measured()[name], "peer": None, "limit": 1.0, "unit": "s"}

    measure.__doc__ = (
        f"The dashboard's {name} page opened again, in a home with 100,000 runs and a ledger of 10,000 rows: seconds of its "
        "script, median of five, after the first sync. The ledger is asked for new rows each time; MLflow's server is down."
    )
    return measure


@functools.cache
def _measured() -> dict[str, float]:
    """Each page's seconds."""
    sys.path.insert(0, str(_ROOT / "tests" / "dashboards"))
    import streamlit as st
    from streamlit.testing.v1 import AppTest
    from worlds import a_run, fill_runs

    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        home = Path(folder) / "home"
        fill_ledger(home)
        fill_runs(home, [a_run(number, experiment=f"model-{number % _MODELS:02d}") for number in range(_RUNS)])
        os.environ["MODELYARD_HOME"] = str(home)
        spans = dict[str, list[float]]()
        for name in _PAGES:
            for _ in range(1 + _TIMES):
                page = AppTest.from_file(str(_VIEWS / f"{name}.py"), default_timeout=600)
                st.cache_data.clear()  # what is kept for seconds only; what holds the ledger and the runs stays
                began = time.perf_counter()
                page.run()
                spans.setdefault(name, []).append(time.perf_counter() - began)
                if page.exception:
                    raise RuntimeError(f"the page {name} failed: {page.exception[0].value}")
    return {name: statistics.median(times[1:]) for name, times in spans.items()}


def fill_ledger(home: Path) -> None:
    """Models whose versions are trained, scored, exported, refused or promoted and deployed, one after the other."""
    from registry.opening import ledger_of
    from registry.settings import Settings

    ledger, count = ledger_of(Settings(home=home)), 0
    number = 0
    while count < _ROWS:
        number += 1
        for model in range(_MODELS):
            for event in _life(f"model-{model:02d}", number):
                ledger.append(event)
                count += 1


def _life(model: str, number: int) -> Iterator[AnyEvent]:
    from registry.events import Deployed, Evaluated, Exported, Flipped, Promoted, Refused, Trained, about
    from registry.records import ClassScore, Evaluation, Finding, Latency, ModelVersion, ParityFigures
    from registry.stages import Stage

    version, labels = about(ModelVersion(model, number, number), "d"), ("a", "b", "c")
    run = {"run_id": f"{number * 100 + int(model[-2:]):032x}", "dataset": "d", "seconds": 60, "hardware": "local: this machine"}
    yield Trained(**version, trainer="torch", usd=Decimal("0.000834"), price_as_of="2026-11-22", **run)
    classes = [ClassScore(label=label, precision=1, recall=1, f1=1, support=10) for label in labels]
    facts = {"dataset": "d", "split": "test", "images": 30, "clips": 6, "classes": classes}
    score = 0.8 + number % 20 / 100
    confusion = [[10, 0, 0], [0, 10, 0], [0, 0, 10]]
    yield Evaluated(
        **version, evaluation=Evaluation(metrics={"top1": score}, interval=(0.7, 0.99), confusion=confusion, **facts)
    )
    finding = Finding(gate="metric", passed=number % 2 == 0, text="top1 against 0.9", figure=score, limit=0.9)
    figures = {"images": 200, "top1_agreement": 1.0, "max_abs_diff": 1e-5, "mean_abs_diff": 1e-6, "control_agreement": 0.1}
    parity = ParityFigures(variant="onnx", control_max_abs_diff=0.9, **figures)
    latency = Latency(p50_ms=1, p95_ms=2, first_ms=30, requests=100)
    yield Exported(**version, bundle="b", path="p", megabytes=2.5, parity=[parity], latency=latency)
    if number % 2:
        yield Refused(**version, stage=Stage.STAGING, actor="ada", findings=[finding])
        return
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        yield Promoted(**version, stage=stage, previous=None, actor="ada", findings=[finding])
        yield Flipped(**version, stage=stage, previous=None, actor="ada")
    endpoint = {"target": "local", "url": "http://127.0.0.1:1", "bundle": "b", "price_as_of": "2026-11-22", "smoke_images": 8}
    yield Deployed(**version, stage=Stage.PRODUCTION, usd_per_month=Decimal("36.50"), **endpoint)
