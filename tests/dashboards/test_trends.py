"""Trends of quality and money: what they show, and what they must not promise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from worlds import MARKUP, budget, entries_of, fill, page, words

from dashboards.cards import links
from dashboards.charts import quality_trend as quality_chart
from dashboards.money.charts import money_trend as money_chart
from dashboards.overview import overview
from dashboards.trends import money_trend, quality_trend, scores_by_model, trend_words
from registry.events import Deployed, about
from registry.opening import ledger_of
from registry.promotion.state import fold
from registry.records import ModelVersion
from registry.reports.accuracy import own_evaluations
from registry.settings import Settings
from registry.stages import Stage

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Spent:
    """An amount, as `spending` gives it."""

    model: str
    month: str
    usd: Decimal


def test_a_model_s_scores_are_in_the_order_of_its_versions(tmp_path: Path) -> None:
    fill(tmp_path)
    entries = entries_of(tmp_path)
    trend = quality_trend(own_evaluations(entries), fold(entries))
    assert list(trend["version"]) == ["1", "2", "10"], "not by text"
    assert list(trend["stage"]) == ["none", "production", "none"]
    assert trend_words(trend) == "+17.0 points against version 1, within the 95% intervals"
    assert trend_words(trend.iloc[1:].reset_index(drop=True)) == "", "nothing was scored before it"
    assert trend_words(trend.assign(stage="none")) == ""
    apart = trend.assign(low=trend["score"] - 0.01, high=trend["score"] + 0.01)
    assert trend_words(apart) == "+17.0 points against version 1"
    assert quality_chart(trend, "top-1").to_dict()["layer"]
    assert quality_trend({}, fold(entries)).empty
    assert list(scores_by_model(own_evaluations(entries))) == ["hand"]


def test_scores_on_other_data_and_of_another_task_are_not_compared(tmp_path: Path) -> None:
    fill(tmp_path)
    entries = entries_of(tmp_path)
    (first, score), (second, better), (third, _) = own_evaluations(entries).items()
    state = fold(entries)
    apart = quality_trend({first: score.model_copy(update={"dataset": "easy"}), second: better}, state)
    assert trend_words(apart) == "not compared against version 1, which was scored on another data set"
    assert '"detail"' in json.dumps(quality_chart(apart, "top-1").to_dict()), "no line joins them"
    alike = quality_trend(
        {first: better.model_copy(update={"metrics": {"top1": better.score - 0.0001}}), second: better}, state
    )
    assert trend_words(alike) == "the same against version 1"
    boxes = better.model_copy(update={"task": "detect", "metrics": {"map50_95": 0.4}})
    mixed = quality_trend({first: score, second: better, third: boxes}, state)
    assert list(mixed["version"]) == ["1", "2"], "of the task of the version in production, not of the newest"


def test_months_are_of_the_calendar_and_none_lies_ahead() -> None:
    spent = [Spent("a", month, Decimal(1)) for month in ("2019-01", "2026-08", "2026-11", "2027-02")]
    points = money_trend(spent, {"a": Decimal(3)}, {}, NOW)
    months = points[points["what"] == "spent"]
    assert list(months["month"]) == [*(f"2025-{number}" for number in (12,)), *(f"2026-{number:02}" for number in range(1, 12))]
    assert months["usd"].sum() == 2
    recent = money_trend(spent[1:], {"a": Decimal(3)}, {}, NOW)
    assert list(recent[recent["what"] == "spent"]["month"]) == ["2026-08", "2026-09", "2026-10", "2026-11"]


@pytest.mark.parametrize(
    ("limits", "shown"),
    [({}, None), ({"a": Decimal(5)}, None), ({"a": Decimal(5), "b": Decimal(2)}, 7.0)],
    ids=["no budget", "one model without", "every model"],
)
def test_the_month_has_what_is_spent_what_is_expected_and_a_budget_of_all(limits: dict, shown: float | None) -> None:
    spent = [Spent("a", "2026-10", Decimal(3)), Spent("a", "2026-11", Decimal(1)), Spent("b", "2026-11", Decimal(1))]
    points = money_trend(spent, {"a": Decimal(4), "b": Decimal(1)}, limits, NOW)
    assert [(row.month, row.usd, row.what) for row in points.itertuples()] == [
        ("2026-10", 3.0, "spent"), ("2026-11", 2.0, "spent"), ("2026-11", 3.0, "expected"),
    ]  # fmt: skip
    budgets = points["budget"].dropna().unique().tolist()
    assert budgets == ([] if shown is None else [shown]), "of last month nobody knows what was allowed"
    assert money_chart(points).to_dict()["layer"]
    nothing = money_trend([], {}, {}, NOW)
    assert nothing["usd"].tolist() == [0.0, 0.0]


def test_the_overview_shows_both_trends_and_links_to_endpoint_and_mlflow(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home)
    budget(home, "100")
    monkeypatch.setenv("MODELYARD_MLFLOW_URI", "http://me:secret@127.0.0.1:9")
    shown = page("overview")
    assert not shown.exception, shown.exception
    assert len(shown.get("vega_lite_chart")) == 2
    text = words(shown)
    assert "17.0 points against version 1" in text.replace("\\", "")
    buttons = {button.proto.label: button.proto.url for button in shown.get("link_button")}
    assert buttons == {"Endpoint": "http://127.0.0.1:1", "Model in MLflow": "http://127.0.0.1:9/#/models/hand"}


@pytest.mark.parametrize("uri", ["sqlite:///x.db", "./mlruns", "databricks"])
def test_a_server_that_is_no_address_of_the_web_is_no_link(tmp_path: Path, uri: str) -> None:
    fill(tmp_path)
    (served,) = overview(entries_of(tmp_path), NOW).served
    assert links(Settings(home=tmp_path, mlflow_uri=uri), served) == [("Endpoint", "http://127.0.0.1:1")]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "", "ftp://x", "//x"])
def test_only_an_address_of_the_web_is_a_link_and_a_model_s_name_stays_a_part_of_it(tmp_path: Path, url: str) -> None:
    fill(tmp_path, model=MARKUP.replace("/", ""))
    (served,) = overview(entries_of(tmp_path), NOW).served
    settings = Settings(home=tmp_path, mlflow_uri="http://127.0.0.1:9")
    ((name, address),) = links(settings, served._replace(url=url))
    assert name == "Model in MLflow"
    assert address.startswith("http://127.0.0.1:9/#/models/%3Cscript%3E")
    assert not set("<> !()[]") & set(address)


def test_a_process_of_this_machine_without_a_rate_is_free_and_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home)
    version = about(ModelVersion("hand", 2, 2), "d")
    endpoint = {"target": "local", "url": "http://127.0.0.1:1", "bundle": "b", "price_as_of": "2026-11-27", "smoke_images": 8}
    ledger_of(Settings(home=home)).append(Deployed(**version, stage=Stage.PRODUCTION, usd_per_month=Decimal(0), **endpoint))
    assert "costs nothing: no rate is set" in words(page("overview"))
    monkeypatch.setenv("MODELYARD_LOCAL_USD_PER_HOUR", "0.05")
    assert "costs nothing: it was deployed at none" in words(page("overview"))
