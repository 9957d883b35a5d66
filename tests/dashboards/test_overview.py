"""The Overview: its figures and its page."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from worlds import budget, entries_of, fill, page, words

from dashboards.clock import in_words
from dashboards.overview import accuracy_words, doubt_words, overview, since_words
from dashboards.report import as_html
from registry.events import Archived, Blocked, HookFailed, Promoted, Refused, about
from registry.opening import ledger_of
from registry.promotion.state import fold
from registry.records import Evaluation, Finding, ModelVersion
from registry.reports.attention import by_model
from registry.reports.costs import CostReport
from registry.reports.endpoints import existing_deployments
from registry.settings import Settings
from registry.spending import BudgetOverridden
from registry.stages import Stage

PAGES = ("overview", "runs", "registry", "costs", "forecast", "data", "review", "live")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_an_archived_version_holds_no_stage_and_costs_nothing_more(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger_of(Settings(home=tmp_path)).append(Archived(**about(ModelVersion("hand", 2, 2), "d"), actor="ada"))
    entries = entries_of(tmp_path)
    assert [fold(rows).holders for rows in by_model(entries).values()] == [{}]
    assert CostReport.of(entries, datetime.now(UTC)).serving_usd_per_month == 0
    assert existing_deployments(entries) == []
    assert overview(entries, datetime.now(UTC)).served == []


def test_accuracy_is_in_plain_words() -> None:
    fields = {"dataset": "d", "split": "test", "images": 1200, "clips": 40, "classes": [], "confusion": []}
    sentence = accuracy_words(Evaluation(metrics={"top1": 0.9333}, interval=(0.901, 0.958), **fields))
    assert sentence.startswith("Correct on 1,120 of 1,200 images it had never seen, from 40 clips.")
    assert "expect 90% to 96% (95% interval)" in sentence
    few = accuracy_words(Evaluation(metrics={"top1": 1.0}, interval=(1.0, 1.0), **fields | {"images": 30, "clips": 3}))
    assert few.startswith("Correct on 30 of 30 images it had never seen, from 3 clips. Only 3 test clips, so this says little")
    assert "interval" not in few, "three clips without a mistake have one of no width"
    assert accuracy_words(None) == "Not evaluated on held-out images."
    assert doubt_words(Evaluation(metrics={"top1": 0.9333}, interval=(0.901, 0.958), **fields)) == ""
    two = Evaluation(metrics={"top1": 0.98}, interval=(0.73, 1.0), **fields | {"images": 30, "clips": 2})
    assert doubt_words(two) == "from 2 clips: 22% to 100%; film more", "two clips that were right promise no more than that"
    assert since_words(NOON - timedelta(days=1), NOON) == "since 2026-11-23 (yesterday)"
    assert since_words(NOON + timedelta(days=3), NOON) == "since 2026-11-27 (today)"


def test_the_overview_answers_a_stakeholder_s_questions(home: Path) -> None:
    fill(home)
    budget(home, "100")
    shown = page("overview")
    assert not shown.exception, shown.exception
    assert [(metric.label, metric.value) for metric in shown.metric][-1] == ("hand", "97.0%")
    text = words(shown)
    assert "Correct on 10 of 10 images it had never seen" in text
    assert "expect 70% to 99% (95% interval)" in text
    assert "hand/2 since" in text
    assert "promoted by ada (self-declared), served by the local endpoint http://127.0.0.1:1, p95 latency 2.0 ms" in text
    assert "of this month's $100.00 budget spent" in str(shown.get("progress")[0].proto).replace("\\", "")
    assert len(shown.get("download_button")) == 2
    assert list(shown.dataframe[0].value["version"])[:2] == ["hand", "hand/2"]


def test_the_overview_shows_what_needs_attention_and_its_fix(home: Path) -> None:
    fill(home)
    ledger = ledger_of(Settings(home=home))
    second, third = about(ModelVersion("hand", 2, 2), "d"), about(ModelVersion("hand", 10, 10), "d")
    ledger.append(HookFailed(**second, hook="deploy", stage=Stage.PRODUCTION, attempt=1, reason="no room"))
    ledger.append(Blocked(**third, stage=Stage.STAGING, reason="no promotion ratified it"))
    budget(home, "0.001")
    shown = page("overview")
    alerts = [alert.value.replace("\\", "") for alert in (*shown.error, *shown.warning)]
    assert any("no room" in alert and "modelyard reconcile" in alert for alert in alerts)
    assert any("no promotion ratified it" in alert and "modelyard promote hand/10 staging" in alert for alert in alerts)
    assert any("nothing new is started" in alert and "modelyard budget override hand" in alert for alert in alerts)


def test_what_is_gravest_is_shown_first_and_is_not_cut_off(home: Path) -> None:
    for number in range(25):
        fill(home, f"hand{number:02d}")
        third = about(ModelVersion(f"hand{number:02d}", 10, 10), "d")
        findings = [Finding(gate="metric", passed=False, text="top1 is below 0.9")]
        ledger_of(Settings(home=home)).append(Refused(**third, stage=Stage.PRODUCTION, actor="ada", findings=findings))
    budget(home, "0.0001", "hand07")
    shown = page("overview")
    assert "nothing new is started" in shown.error[0].value
    assert len(shown.warning) == 19


def test_a_budget_that_was_overridden_blocks_nothing_and_names_who_did_it(home: Path) -> None:
    fill(home)
    budget(home, "0.0001")
    ledger = ledger_of(Settings(home=home))
    fields = {"month": f"{datetime.now(UTC):%Y-%m}", "spent_usd": Decimal(1), "limit_usd": Decimal("0.0001")}
    ledger.append(BudgetOverridden(model="hand", reason="a fair", actor="eve", **fields))
    shown = page("overview")
    assert not [alert for alert in shown.error if "nothing new is started" in alert.value]
    assert any("overridden by eve" in alert.value for alert in shown.warning)


def test_a_clock_that_jumped_back_makes_no_age_negative(home: Path) -> None:
    fill(home)
    summary = overview(entries_of(home), datetime(2020, 1, 1, tzinfo=UTC))
    assert "(today)" in as_html(summary)
    assert summary.expected_usd >= 0


def test_promotions_are_those_to_production(home: Path) -> None:
    fill(home)
    before = overview(entries_of(home), NOON).promotions
    events = [entry.event for entry in entries_of(home) if isinstance(entry.event, Promoted)]
    staging = next(event for event in events if event.stage is Stage.STAGING)
    ledger = ledger_of(Settings(home=home))
    ledger.append(staging)
    assert overview(entries_of(home), NOON).promotions == before
    ledger.append(staging.model_copy(update={"stage": Stage.PRODUCTION}))
    assert overview(entries_of(home), NOON).promotions == before + 1


@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_as_of_when_in_the_reader_s_time_zone(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home)
    zones = (("Asia/Kolkata", "IST"), ("", "UTC"), ("../../etc/passwd", "UTC"), ("Nowhere/City", "UTC"))
    for zone, words_of in zones if name == "overview" else zones[:1]:
        monkeypatch.setattr("streamlit.runtime.context.ContextProxy.timezone", property(lambda _, zone=zone: zone or None))
        shown = page(name)
        assert not shown.exception, shown.exception
        assert re.fullmatch(rf"As of \d{{4}}-\d\d-\d\d \d\d:\d\d {words_of}", shown.caption[0].value)
    assert in_words(NOON, ZoneInfo("Europe/Berlin")) == "2026-11-24 13:00 CET"
