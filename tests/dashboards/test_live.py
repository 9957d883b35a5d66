"""Endpoints as they are now: figures, quantiles, rates, and the Live page."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import entries_of, fill, page

from dashboards.live import EndpointReading, parse_metrics, poll_endpoints, quantile_ms
from dashboards.rates import Rates
from registry.events import Deployed, HookDone, HookFailed, about
from registry.opening import ledger_of
from registry.records import ModelVersion
from registry.reports.attention import failed_deployments
from registry.reports.endpoints import existing_deployments
from registry.settings import Settings
from registry.stages import Stage

METRICS = """# TYPE modelyard_requests counter
modelyard_requests_total{protocol="plain",status="200"} 96.0
modelyard_requests_total{protocol="v2",status="503"} 3.0
modelyard_requests_total{protocol="v2",status="415"} 1.0
# TYPE modelyard_request_seconds histogram
modelyard_request_seconds_bucket{protocol="plain",le="0.001"} 50.0
modelyard_request_seconds_bucket{protocol="plain",le="0.002"} 90.0
modelyard_request_seconds_bucket{protocol="plain",le="+Inf"} 100.0
# TYPE modelyard_queue_pictures gauge
modelyard_queue_pictures 4.0
"""


def test_figures_are_read_from_a_prometheus_page() -> None:
    figures = parse_metrics(METRICS)
    assert (figures["requests"], figures["errors"], figures["refused"], figures["waiting"]) == (100, 3, 1, 4)
    assert figures["p50_ms"] == pytest.approx(1.0)
    assert figures["p95_ms"] == pytest.approx(2.0)
    with pytest.raises(ValueError, match=r".+"):
        parse_metrics("<html>")


@given(st.lists(st.floats(0.0005, 9.9), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    edges = [0.001, 0.01, 0.1, 1.0, 10.0, math.inf]
    buckets = {edge: float(sum(value <= edge for value in values)) for edge in edges}
    estimate = quantile_ms(buckets, share) / 1e3
    true = sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
    low, high = max([0.0, *(edge for edge in edges if edge < true)]), min(edge for edge in edges if edge >= true)
    assert low - 1e-9 <= estimate <= high + 1e-9


def test_no_page_wakes_an_endpoint_in_a_cloud_or_polls_another_machine_that_a_row_names() -> None:
    fields = {"stage": Stage.PRODUCTION, "bundle": "b", "usd_per_month": Decimal(0), "price_as_of": "x", "smoke_images": 1}
    hand = about(ModelVersion("hand", 1, 1), "d")
    rows = [
        Deployed(**hand, target="runpod", url="http://127.0.0.1:1", **fields),
        Deployed(**hand, target="local", url="http://169.254.169.254/", **fields),
    ]
    assert all(reading.state.endswith("not polled, so that it can sleep") for reading in poll_endpoints(rows, {}))


def test_a_failing_endpoint_in_a_cloud_is_shown_until_it_is_fixed(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger, second = ledger_of(Settings(home=tmp_path)), {**about(ModelVersion("hand", 2, 2), "d"), "stage": Stage.PRODUCTION}
    row = existing_deployments(entries_of(tmp_path))[0].model_copy(update={"target": "runpod"})
    ledger.append(HookFailed(**second, hook="deploy", attempt=1, reason="every worker is unhealthy"))
    known = failed_deployments(entries_of(tmp_path))
    assert poll_endpoints([row], {}, known)[0].state == "failing: every worker is unhealthy"
    ledger.append(HookDone(**second, hook="deploy"))
    assert failed_deployments(entries_of(tmp_path)) == {}


def test_rates_are_counted_once_and_survive_a_restart() -> None:
    rates = Rates()

    def seen(count: float, at: float) -> None:
        rates.add([EndpointReading("hand", "v", "local", "u", "up", count)], at)

    for count, at in ((100, 0.0), (150, 5.0), (151, 5.5), (10, 10.0)):
        seen(count, at)
    assert list(rates.table()["requests"]) == [10.0, 2.0]


def test_the_live_page_says_which_endpoint_does_not_answer(home: Path) -> None:
    fill(home)
    shown = page("live")
    assert not shown.exception
    assert "modelyard reconcile" in shown.error[0].value.replace("\\", "")
    assert list(shown.dataframe[0].value["state"]) == ["unreachable (ConnectError)"]
