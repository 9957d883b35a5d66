"""Endpoints as they were: what the Live page makes of what the collector recorded."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from worlds import MARKUP, entries_of, fill, page, words

from dashboards.charts import score_bars, time_lines
from dashboards.endpoints.history import (
    RANGES,
    History,
    error_table,
    latency_table,
    rate_table,
    read_history,
    score_table,
    sums,
)
from registry.events import Archived, Deployed, about
from registry.opening import ledger_of
from registry.records import ModelVersion
from registry.settings import Settings
from serving.series.interval import Counters, Interval
from serving.series.reading import Point
from serving.series.store import Look, SeriesStore

HAND = "hand-production"


def counters(requests: int, started: float = 1.0) -> Counters:
    """Of every ten requests one failed and one was refused; all took up to 10 ms, and scored up to 0.9."""
    latency = {0.005: 0, 0.01: requests, math.inf: 0}
    return Counters(started, requests, requests // 10, requests // 10, latency, {0.8: 0, 0.9: requests, math.inf: 0})


def record(home: Path, looks: int = 20, every: int = 15, endpoint: str = HAND, version: str = "hand/2") -> None:
    """Thirty new requests at each look, the last of them now."""
    with SeriesStore(home / "metrics.db", pytest.fail) as series:
        now = int(time.time())
        for look in range(looks):
            series.add({endpoint: Look(version, counters(30 * look))}, (now - every * (looks - 1 - look)) * 1000, 60_000)


def charts(shown) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in shown.get("vega_lite_chart") + shown.get("arrow_vega_lite_chart")]


def metrics(shown) -> dict[str, str]:
    return {metric.label: metric.value for metric in shown.metric}


def test_the_page_shows_the_past_and_a_reload_keeps_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("registry.ledger.store.now", lambda: datetime.now(UTC) - timedelta(hours=2))
        fill(home)
    record(home)
    before = {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    for _ in range(2):  # a new session each, with nothing kept
        shown = page("live", range="Last hour")
        assert not shown.exception
        figures = metrics(shown)
        assert figures["Requests"] == "570"
        assert figures["Errors (5xx)"] == "10.00 %"
        assert figures["Cold starts"] == "1"
        assert figures["Cost per 1,000 requests"].startswith("$0.08"), "an hour at $36.50 a month, by 570 requests"
        titles = [layer["encoding"]["y"]["title"] for chart in charts(shown) for layer in chart.get("layer", [chart])[:1]]
        assert titles == ["Requests per second", "Latency, ms", "Errors, % of requests", "Images, %"]
    after = {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert after == before, "a page changes and makes no file"


def test_a_page_without_a_past_says_who_records_it_and_makes_nothing(home: Path) -> None:
    fill(home)
    before = sorted(home.rglob("*"))
    shown = page("live")
    assert not shown.exception
    assert "modelyard collect" in words(shown)
    assert sorted(home.rglob("*")) == before


def test_a_range_in_which_nothing_was_recorded_says_so(home: Path) -> None:
    fill(home)
    with SeriesStore(home / "metrics.db", pytest.fail) as series:
        series.add({HAND: Look("hand/2", counters(30))}, int(time.time() - 40 * 86_400) * 1000, 60_000)
    assert "Nothing was recorded in this range" in words(page("live", range="Last hour"))
    assert metrics(page("live", range="1 year"))["Requests"] == "30"


@pytest.mark.parametrize("damage", ["bytes", "newer", "row"])
def test_a_past_that_cannot_be_read_is_one_line_and_the_present_is_shown(home: Path, damage: str) -> None:
    fill(home)
    record(home)
    if damage == "bytes":
        (home / "metrics.db").write_bytes(b"no database" * 1000)
    else:
        with closing(sqlite3.connect(home / "metrics.db")) as db, db:
            db.execute("PRAGMA user_version = 99" if damage == "newer" else "UPDATE points SET latency = '{]'")
    shown = page("live")
    assert not shown.exception
    assert "modelyard collect" in shown.warning[0].value.replace("\\", "")
    assert len(shown.dataframe) == 1


def test_an_endpoint_that_is_gone_keeps_its_past(home: Path) -> None:
    fill(home)
    record(home)
    facts = about(ModelVersion("hand", 2, 2), "d")
    ledger_of(Settings(home=home)).append(Archived(**facts, actor="ada"))
    shown = page("live")
    assert not shown.exception
    assert "No endpoint is deployed" in words(shown)
    assert metrics(shown)["Requests"] == "570"


def test_an_endpoint_in_a_cloud_shows_what_the_ledger_knows(home: Path) -> None:
    fill(home)
    record(home)
    row = next(entry.event for entry in entries_of(home) if isinstance(entry.event, Deployed))
    ledger_of(Settings(home=home)).append(row.model_copy(update={"target": "runpod", "url": "https://pod.example"}))
    shown = page("live")
    assert "hand-production serves hand/2 at runpod, $36.50 a month, as quoted. It is not polled" in words(shown)


def test_names_are_never_markup(home: Path) -> None:
    fill(home)
    record(home, endpoint=MARKUP)
    shown = page("live", endpoints=MARKUP)
    assert not shown.exception
    assert "**bold**" not in " ".join(str(element.value) for element in [*shown.markdown, *shown.caption])


@pytest.mark.parametrize("name", RANGES)
def test_a_chart_has_at_most_500_points_however_much_was_recorded(tmp_path: Path, name: str) -> None:
    file, now = tmp_path / "metrics.db", int(time.time())
    with SeriesStore(file, pytest.fail) as series:
        series.add({HAND: Look("hand/2", counters(0))}, now * 1000, 60_000)
        step = max(RANGES[name].seconds // 5000, 15) // 15 * 15
        starts = range((now - RANGES[name].seconds - 3600) // 15 * 15, now, step)
        with closing(sqlite3.connect(file)) as db, db:
            many = [(HAND, 15, start, "hand/2", 9, 0, 0, 0, 0, 15_000, 0, '{"0.1":9}', '{"0.9":9}') for start in starts]
            db.executemany(f"INSERT OR REPLACE INTO points VALUES ({', '.join('?' * 13)})", many)
        series.roll_up(now * 1000)
    history = read_history(file, HAND, RANGES[name], datetime.fromtimestamp(now, UTC))
    for table in (rate_table, latency_table, error_table):
        assert 100 < table([history]).groupby("line").size().max() <= 500
    within = sum(9 for start in starts if start >= history.since_s)
    assert history.total.requests == pytest.approx(within, abs=9 * 3600 // step)


def history(*points: tuple[int, Interval], endpoint: str = HAND, version: str = "hand/2") -> History:
    rows = [Point(start, version, interval) for start, interval in points]
    return History(endpoint, 0, 0, 3600, 15, rows)


def watched(requests: int, **fields: int) -> Interval:
    return Interval(requests, watched_ms=15_000, latency={0.01: requests}, **fields)


def test_a_gap_is_no_zero_and_what_came_meanwhile_is_in_no_rate() -> None:
    late = Interval(900, late=900, latency={0.01: 900})
    shown = history((0, watched(30)), (15, watched(0)), (1500, late), (1515, watched(15)))
    values = list(rate_table([shown])["value"])
    assert values[:2] == [2.0, 0.0]
    assert all(math.isnan(value) for value in values[2:4]), "the gap, and the look that ended it"
    assert values[4:] == [1.0]
    assert shown.total.requests == 945
    assert len(latency_table([shown])) == 3 * 4, "no latency where nothing came, but the gap is there"


def test_looks_that_are_further_apart_than_a_point_are_no_gap() -> None:
    every_minute = Interval(60, watched_ms=60_000)
    values = list(rate_table([history(*((60 * number, every_minute) for number in range(1, 5)))])["value"])
    assert values == [1.0] * 4


def test_several_endpoints_are_told_apart_and_one_is_not_named() -> None:
    hand, face = history((0, watched(30))), history((0, watched(30)), endpoint="face-production")
    assert list(latency_table([hand])["line"]) == ["p50", "p95", "p99"]
    assert set(latency_table([hand, face])["line"]) >= {"hand-production p50", "face-production p99"}
    assert set(rate_table([hand, face])["line"]) == {"hand-production", "face-production"}
    assert time_lines(rate_table([hand, face]), "x", (0, 60)).to_dict()
    assert time_lines(rate_table([]), "x", (0, 60)).to_dict()


def test_scores_are_those_of_each_version() -> None:
    first, second = Interval(scores={0.5: 1, 1.0: 3, math.inf: 0}), Interval(scores={0.5: 10, 1.0: 0, math.inf: 0})
    rows = [Point(0, "hand/1", first), Point(15, "hand/2", second), Point(30, "hand/1", first)]
    table = score_table([History(HAND, 0, 0, 3600, 15, rows)])
    shares = {(row.version, row.score): row.share for row in table.itertuples()}
    assert shares == {
        ("hand/2", "0.0 to 0.5"): 100.0,
        ("hand/2", "0.5 to 1.0"): 0.0,
        ("hand/1", "0.0 to 0.5"): 25.0,
        ("hand/1", "0.5 to 1.0"): 75.0,
    }
    assert score_bars(table).to_dict()
    assert score_bars(score_table([])).to_dict()


def test_the_cost_is_of_the_time_that_is_recorded_and_unknown_without_requests_or_price(tmp_path: Path) -> None:
    fill(tmp_path)
    rows = entries_of(tmp_path)
    at = next(row.at for row in rows if isinstance(row.event, Deployed))
    begins, ends = int(at.timestamp()), int((at + timedelta(hours=10)).timestamp())
    busy = History(HAND, 0, begins - 3600, ends, 3600, [Point(begins, "hand/2", Interval(500))])
    assert float(sums(rows, [busy]).usd_per_thousand or 0) == pytest.approx(2 * 10 * 36.5 / 730, rel=1e-3)
    known = History(HAND, begins + 5 * 3600, begins, ends, 3600, busy.points)
    assert float(sums(rows, [known]).usd_per_thousand or 0) == pytest.approx(2 * 5 * 36.5 / 730, rel=1e-3)
    idle = History(HAND, 0, begins, ends, 3600, [Point(begins, "hand/2", Interval(0, watched_ms=15_000))])
    assert sums(rows, [idle])[1:] == (None, 0, None)
    other = History("other", 0, begins, ends, 3600, busy.points)
    assert sums(rows, [other]).usd_per_thousand is None
    both = sums(rows, [busy, other])
    assert (both.requests, both.usd_per_thousand) == (1000, sums(rows, [busy]).usd_per_thousand / 2)
    assert isinstance(both.usd_per_thousand, Decimal)
