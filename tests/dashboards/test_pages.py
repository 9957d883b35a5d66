"""Pages show what the ledger and MLflow hold: empty, small, odd, and with the server away."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboards.charts import cost_by_version, curves, quality_by_cost
from dashboards.queries import (
    cost_table,
    gate_table,
    load_entries,
    registry_table,
    run_table,
    serving_quotes,
    stages,
    trained_usd,
)
from registry.events import Archived, Deployed, Evaluated, Exported, Flipped, PolicySet, Promoted, Refused, Trained, about
from registry.mlflow.runs import RunRow
from registry.opening import ledger_of
from registry.records import Evaluation, Finding, Latency, ModelVersion
from registry.settings import Settings
from registry.spending import TrainingFailed
from registry.stages import Stage

VIEWS = Path(__file__).parents[2] / "dashboards" / "views"
NAMES = ("registry", "runs", "costs")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    return tmp_path


def fill(home: Path, model: str = "hand") -> None:
    ledger = ledger_of(Settings(home=home))
    for number, score in ((1, 0.8), (2, 0.97), (10, 0.9)):
        version = about(ModelVersion(model, number, number), "d")
        run = {"run_id": "r", "dataset": "d", "seconds": 60, "hardware": "local: this machine", "price_as_of": "2026-11-22"}
        ledger.append(Trained(**version, trainer="torch", usd=Decimal("0.000834"), **run))
        facts = {"dataset": "d", "split": "test", "images": 10, "clips": 5, "classes": [], "confusion": []}
        ledger.append(Evaluated(**version, evaluation=Evaluation(metrics={"top1": score}, interval=(0.7, 0.99), **facts)))
    finding = Finding(gate="metric", passed=False, text="top1 0.8 is below 0.9", figure=0.8, limit=0.9)
    ledger.append(Refused(**about(ModelVersion(model, 1, 1), "d"), stage=Stage.STAGING, actor="ada", findings=[finding]))
    second = about(ModelVersion(model, 2, 2), "d")
    latency = Latency(p50_ms=1, p95_ms=2, first_ms=30, requests=100)
    ledger.append(Exported(**second, bundle="b", path="p", megabytes=2.5, parity=[], latency=latency))
    passed = [finding.model_copy(update={"passed": True})]
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        ledger.append(Promoted(**second, stage=stage, previous=None, actor="ada", findings=passed))
        ledger.append(Flipped(**second, stage=stage, previous=None, actor="ada"))
    place = {"target": "local", "url": "http://127.0.0.1:1", "bundle": "b", "price_as_of": "2026-11-22", "smoke_images": 8}
    ledger.append(Deployed(**second, stage=Stage.PRODUCTION, usd_per_month=Decimal("36.50"), **place))


def page(name: str) -> AppTest:
    import streamlit as st

    st.cache_data.clear()
    return AppTest.from_file(str(VIEWS / f"{name}.py"), default_timeout=60).run()


@pytest.mark.parametrize("name", NAMES)
def test_every_page_opens_where_nothing_happened_yet(home: Path, name: str) -> None:
    shown = page(name)
    assert not shown.exception
    assert shown.info
    assert shown.title


def test_the_registry_page_says_what_is_in_production_and_why(home: Path) -> None:
    fill(home)
    shown = page("registry")
    assert not shown.exception
    assert [(metric.label, metric.value) for metric in shown.metric] == [
        ("hand", "version 2"),
        ("right on held-out images", "97.0%"),
        ("p95", "2.0 ms"),
        ("endpoint", "deployed"),
    ]
    versions, gates = (frame.value for frame in shown.dataframe)
    assert list(versions["version"]) == ["hand/10", "hand/2", "hand/1"]
    assert list(versions["stage"]) == ["none", "production", "none"]
    assert len(gates) == 3


def test_only_what_failed_can_be_shown(home: Path) -> None:
    fill(home)
    shown = page("registry")
    shown.toggle[0].set_value(True).run()
    assert list(shown.dataframe[1].value["finding"]) == ["top1 0.8 is below 0.9"]


def test_the_costs_page_adds_up_to_the_cent(home: Path) -> None:
    fill(home)
    shown = page("costs")
    assert not shown.exception
    assert [metric.value for metric in shown.metric] == ["$0.0025", "$36.50", "3"]


def test_the_costs_page_sums_up_by_what_is_chosen_and_shows_budgets(home: Path) -> None:
    fill(home)
    ledger = ledger_of(Settings(home=home))
    ledger.append(PolicySet(model="hand", actor="ada", job={"budget": {"usd_per_month": "10"}}, policy_hash="p"))
    spent = {
        "seconds": 9.0,
        "hardware": "runpod: A100",
        "usd": Decimal("0.5"),
        "price_as_of": "2026-11-01",
        "actor": "<b>bob</b>",
    }
    ledger.append(TrainingFailed(model="hand", trainer="yolo", run_id="x", reason="no memory", **spent))
    shown = page("costs")
    assert not shown.exception
    table = shown.dataframe[0].value
    assert list(table["model"]) == ["hand"]
    assert list(table["failed"]) == [0.5]
    assert list(table["in production"]) == [1]
    assert table["per promoted"][0] == pytest.approx(0.5025, abs=1e-3)
    shown.selectbox[0].set_value("person").run()
    assert "<b>bob</b>" in list(shown.dataframe[0].value["person"])
    assert "0.50 of 10.00 USD" in str(shown.get("progress")[0].proto)


def test_the_forecast_page_needs_nothing_but_prices(home: Path) -> None:
    shown = page("forecast")
    assert not shown.exception
    assert "An answer takes 50 ms (as I say)" in shown.caption[0].value


def test_the_forecast_page_says_where_it_is_cheapest_and_what_that_rests_on(home: Path) -> None:
    fill(home)
    shown = page("forecast")
    assert not shown.exception
    assert "is the cheapest at 1,000 requests a day" in shown.subheader[0].value
    table = shown.dataframe[0].value
    assert len(table) == 7
    assert list(table["a month"]) == sorted(table["a month"])
    assert all("an hour" in text for text in table["rests on"])
    assert "An answer takes 1 ms (hand/2)" in shown.caption[0].value
    assert any("days old" in one.value for one in shown.warning)
    shown.number_input[0].set_value(0).run()
    assert not shown.exception


def test_the_runs_page_says_that_the_server_is_away(home: Path) -> None:
    fill(home)
    shown = page("runs")
    assert not shown.exception
    assert "start it with `modelyard up`" in shown.warning[0].value


@pytest.mark.journey
def test_the_runs_page_shows_runs_of_a_real_server_with_their_curves(
    home: Path, monkeypatch: pytest.MonkeyPatch, mlflow_uri: str
) -> None:
    from registry.mlflow.tracker import Tracker

    monkeypatch.setenv("MODELYARD_MLFLOW_URI", mlflow_uri)
    tracker = Tracker(mlflow_uri, "pages")
    with tracker.run("torch <b>bold</b>", {}) as run:
        for epoch, score in enumerate((0.3, 0.6, float("nan"), 0.9), 1):
            run.metrics({"val_top1": score}, epoch)
        run.metrics({"train_seconds": 12, "cost_usd": 0.0002, "test_top1": 0.91, "odd": float("inf")})
    shown = page("runs")
    assert not shown.exception, shown.exception
    table = shown.dataframe[0].value
    mine = table[table["experiment"] == "pages"]
    assert list(mine["name"]) == ["torch <b>bold</b>"]
    assert list(mine["test_top1"]) == [0.91]
    assert len(shown.multiselect[0].value) >= 1


def test_broken_ledger_is_one_line_and_not_a_stack_trace_of_data(home: Path) -> None:
    (home / "ledger.db").write_text("no database at all" * 100)
    shown = page("costs")
    assert shown.exception or shown.error


def test_an_archived_version_holds_no_stage_and_costs_nothing_more(home: Path) -> None:
    fill(home)
    ledger = ledger_of(Settings(home=home))
    ledger.append(Archived(**about(ModelVersion("hand", 2, 2), "d"), actor="ada"))
    entries = load_entries(Settings(home=home))
    assert stages(entries) == {}
    assert serving_quotes(entries) == {}


def test_tables_keep_their_columns_when_there_is_nothing() -> None:
    for make in (registry_table, gate_table, cost_table, run_table):
        assert len(make([])) == 0
        assert len(make([]).columns) > 3
    assert trained_usd([]) == 0


def test_a_run_without_figures_is_still_a_row_and_still_drawn() -> None:
    from datetime import UTC, datetime

    run = RunRow("id", "exp", "name", "FAILED", datetime.now(UTC), {}, {}, "url")
    table = run_table([run])
    assert table["test_top1"].isna().all()
    assert quality_by_cost(table).to_dict()
    assert cost_by_version(cost_table([])).to_dict()
    assert curves(table.rename(columns={"name": "run"}), "val_top1").to_dict()
