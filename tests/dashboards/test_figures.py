"""The figures behind the pages, without Streamlit."""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from worlds import MARKUP, a_run, budget, fill, make_data

from dashboards.charts import burn_down as burn_down_chart
from dashboards.charts import class_counts, confusion, cost_by_version, curves, parallel, pareto_front, request_rates, timeline
from dashboards.datasets import LocalDataset, data_sets, shares
from dashboards.decisions import moments, parity_table, waiting, waiting_table
from dashboards.live import (
    Endpoint,
    ask_all,
    quantile_ms,
    read_figures,
    standing_endpoints,
    troubles,
)
from dashboards.money import bills_table, burn_down, month_end
from dashboards.overview import accuracy_words, overview, served_table, since_words
from dashboards.queries import (
    Ledgered,
    approval_table,
    cost_table,
    evidence_table,
    gate_table,
    load_entries,
    registry_table,
    serving_quotes,
    stages,
)
from dashboards.rates import Rates
from dashboards.report import as_csv, as_html, as_json
from dashboards.runs import (
    confusion_table,
    curve_table,
    difference_table,
    front_table,
    group_table,
    metric_names,
    parallel_table,
    run_frame,
)
from dashboards.words import escaped, shorten
from registry.errors import ModelyardError
from registry.events import Archived, Deployed, HookDone, HookFailed, Promoted, Published, Refused, Undone, about
from registry.opening import ledger_of
from registry.records import Evaluation, Evidence, ModelVersion, Proof, Scan
from registry.settings import Settings
from registry.spending import Billed
from registry.stages import Stage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def entries_of(home: Path):
    return load_entries(Settings(home=home))


def test_tables_keep_their_columns_when_there_is_nothing_and_charts_are_drawn_of_them() -> None:
    for make in (registry_table, gate_table, cost_table, approval_table, parity_table, moments, waiting_table, served_table):
        assert len(make([])) == 0
        assert len(make([]).columns) > 3
    assert run_frame([], "").shape[0] == 0
    assert cost_by_version(cost_table([])).to_dict()
    assert curves(curve_table({}, 0), "x").to_dict()
    assert pareto_front(front_table([], "a", "b"), "a", "b").to_dict()
    assert parallel(parallel_table([], ["a"])).to_dict()
    assert timeline(moments([])).to_dict()
    assert request_rates(Rates().table()).to_dict()
    assert burn_down_chart(burn_down([], NOON)).to_dict()


def test_an_archived_version_holds_no_stage_and_costs_nothing_more(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger_of(Settings(home=tmp_path)).append(Archived(**about(ModelVersion("hand", 2, 2), "d"), actor="ada"))
    entries = entries_of(tmp_path)
    assert stages(entries) == {}
    assert serving_quotes(entries) == {}
    assert standing_endpoints(entries) == []
    assert overview(entries, datetime.now(UTC)).served == []


def test_the_ledger_is_read_on_from_where_it_was_and_anew_where_it_is_another(tmp_path: Path) -> None:
    fill(tmp_path)
    view = Ledgered(Settings(home=tmp_path))
    first = view.refresh()
    assert view.refresh() == first
    held = view.first(first)
    fill(tmp_path, "face")
    assert view.refresh() == 2 * first
    assert len(held) == first
    (tmp_path / "ledger.db").unlink()
    for leftover in (*tmp_path.glob("ledger.db-*"), *tmp_path.glob("keys/ledger-*")):
        leftover.unlink()
    fill(tmp_path, "other")
    assert view.refresh() == first
    assert {one.event.model for one in view.first(first)} == {"other"}


def test_accuracy_is_told_in_plain_words() -> None:
    told = {"dataset": "d", "split": "test", "images": 1200, "clips": 40, "classes": [], "confusion": []}
    words = accuracy_words(Evaluation(metrics={"top1": 0.9333}, interval=(0.901, 0.958), **told))
    assert words.startswith("Right on 1,120 of 1,200 pictures that it had never seen, from 40 clips.")
    assert "expect 90% to 96% (95 % interval)" in words
    assert accuracy_words(None) == "It was not measured on held-out pictures."
    assert since_words(NOON - timedelta(days=1), NOON) == "since 2026-11-23 (yesterday)"
    assert since_words(NOON + timedelta(days=3), NOON) == "since 2026-11-27 (today)"


def test_a_month_is_expected_to_come_to_what_is_spent_and_the_quotes_until_its_end(tmp_path: Path) -> None:
    fill(tmp_path)
    entries = entries_of(tmp_path)
    at = next(one.at for one in entries if isinstance(one.event, Deployed))
    end = (at.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    hours = Decimal(str((end - timedelta(seconds=1) - at).total_seconds())) / 3600
    expected = Decimal("36.50") * hours / 730 + 3 * Decimal("0.000834")
    assert month_end(entries, at)["hand"] == pytest.approx(expected, rel=Decimal("1e-6"))


def test_a_budget_burns_down_to_what_is_left(tmp_path: Path) -> None:
    fill(tmp_path)
    budget(tmp_path, "50")
    entries = entries_of(tmp_path)
    now = entries[-1].at
    points = burn_down(entries, now)
    assert list(points["usd"]) == sorted(points["usd"], reverse=True)
    assert points["usd"].iloc[0] == (50 if now.day > 1 else points["usd"].iloc[0])
    assert points["usd"].iloc[-1] == pytest.approx(50 - float(month_end(entries, now)["hand"]), abs=1e-4)
    assert set(points["kind"]) <= {"spent", "expected"}


def test_a_bill_stands_beside_what_its_time_was_quoted_at(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger = ledger_of(Settings(home=tmp_path))
    at = entries_of(tmp_path)[-1].at
    span = {"start": at + timedelta(hours=1), "end": at + timedelta(hours=3)}
    ledger.append(
        Billed(
            model="hand", provider="local", resource="hand-production", **span, usd=Decimal("0.2"), told="0.2 USD", source="x"
        )
    )
    table = bills_table(entries_of(tmp_path), at + timedelta(hours=4))
    assert list(table["billed"]) == [0.2]
    assert table["quoted"][0] == pytest.approx(36.5 / 730 * 2)
    assert bills_table(entries_of(tmp_path), at)["quoted"][0] == 0  # nothing stood there yet


def test_what_was_promoted_and_never_came_to_its_alias_waits_until_it_is_undone(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger, third = ledger_of(Settings(home=tmp_path)), about(ModelVersion("hand", 10, 10), "d")
    ledger.append(Promoted(**third, stage=Stage.STAGING, previous=2, actor="ada", findings=[]))
    assert [(one.ref, one.command) for one in waiting(entries_of(tmp_path))] == [("hand/10", "modelyard reconcile")]
    ledger.append(Undone(**third, stage=Stage.STAGING, reason="meanwhile"))
    assert waiting(entries_of(tmp_path)) == []


def test_evidence_says_on_which_bytes_data_and_policy_a_verdict_rests(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger, third = ledger_of(Settings(home=tmp_path)), about(ModelVersion("hand", 10, 10), "d" * 64)
    scores = next(one.event.evaluation for one in ledger.entries() if one.event.kind == "evaluated")
    scan = Scan(scanner="picklescan", files=3, formats={}, pickles=[], dangerous=[])
    known = Evidence(model="hand", version=10, created_ms=10, digest="d" * 64, evaluation=scores, scans={"model": scan})
    told = {"manifest": {}, "dataset": "e" * 64, "policy": [], "policy_hash": "f" * 64, "tools": {}}
    refused = Refused(**third, stage=Stage.STAGING, actor="ada", findings=[], proof=Proof(evidence=known, **told))
    row = ledger.append(refused).seq
    ledger.append(Published(**third, row=row, run_id="r1"))
    table = evidence_table(load_entries(Settings(home=tmp_path)), {"r1": "http://x/r1"}).iloc[0]
    assert (table["row"], table["version"], table["outcome"], table["policy"]) == (row, "hand/10", "refused", "f" * 12)
    assert (table["model's files"], table["data set"], table["MLflow"]) == ("d" * 12, "e" * 12, "http://x/r1")
    assert table["held-out"] == "10 images of 5 clips (test)"
    assert table["scans"] == "model: 0 dangerous of 3 files"


def test_a_command_that_is_shown_is_safe_to_paste(tmp_path: Path) -> None:
    fill(tmp_path, "a; rm -rf ~")
    third = about(ModelVersion("a; rm -rf ~", 10, 10), "d")
    from registry.events import Blocked

    ledger_of(Settings(home=tmp_path)).append(Blocked(**third, stage=Stage.STAGING, reason="unproven"))
    assert waiting(entries_of(tmp_path))[0].command == "modelyard promote 'a; rm -rf ~/10' staging"


def test_every_command_that_a_page_offers_is_one_that_can_be_run(tmp_path: Path) -> None:
    import shlex

    import typer

    from dashboards.decisions import _BY_GATE, remedy
    from pipelines.cli.main import app
    from registry.events import Refused
    from registry.records import Finding

    fill(tmp_path)
    version, command = about(ModelVersion("hand", 10, 10), "d"), typer.main.get_command(app)
    offered = [
        remedy(Refused(**version, stage=Stage.PRODUCTION, actor="a", findings=[Finding(gate=gate, passed=False, text="x")]))
        for gate in (*_BY_GATE, "of another package")
    ]
    offered += ["modelyard reconcile", "modelyard promote hand/1 staging", "modelyard rollback hand --stage production"]
    offered += [
        "modelyard budget show hand",
        'modelyard budget override hand --reason "…"',
        "modelyard canary status hand@production",
    ]
    for line in offered:
        found, words = command, shlex.split(line)[1:]
        while hasattr(found, "commands"):
            found = found.commands[words.pop(0)]
        found.make_context(found.name, words)


def test_a_report_escapes_every_name_and_loads_nothing(tmp_path: Path) -> None:
    fill(tmp_path, MARKUP)
    fill(tmp_path, "=HYPERLINK(1)")
    told = overview(entries_of(tmp_path), datetime.now(UTC))
    page = as_html(told)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert "Right on 10 of 10 pictures" in page
    assert "'=HYPERLINK(1)" in as_csv(told)
    assert json.loads(json.dumps(as_json(told)))["production"][0]["version"] == f"{min(MARKUP, '=HYPERLINK(1)')}/2"


PAGE = """# TYPE modelyard_requests counter
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
    found = read_figures(PAGE)
    assert (found["requests"], found["errors"], found["refused"], found["waiting"]) == (100, 3, 1, 4)
    assert found["p50_ms"] == pytest.approx(1.0)
    assert found["p95_ms"] == pytest.approx(2.0)
    with pytest.raises(ValueError, match=r".+"):
        read_figures("<html>")


@given(st.lists(st.floats(0.0005, 9.9), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    edges = [0.001, 0.01, 0.1, 1.0, 10.0, math.inf]
    buckets = {edge: float(sum(value <= edge for value in values)) for edge in edges}
    found = quantile_ms(buckets, share) / 1e3
    true = sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
    low, high = max([0.0, *(edge for edge in edges if edge < true)]), min(edge for edge in edges if edge >= true)
    assert low - 1e-9 <= found <= high + 1e-9


def test_nobody_wakes_an_endpoint_in_a_cloud_or_asks_another_machine_that_a_row_names() -> None:
    told = {"stage": Stage.PRODUCTION, "bundle": "b", "usd_per_month": Decimal(0), "price_as_of": "x", "smoke_images": 1}
    hand = about(ModelVersion("hand", 1, 1), "d")
    rows = [
        Deployed(**hand, target="runpod", url="http://127.0.0.1:1", **told),
        Deployed(**hand, target="local", url="http://169.254.169.254/", **told),
    ]
    assert all(one.state.endswith("not asked, so that it may sleep") for one in ask_all(rows, {}))


def test_trouble_with_an_endpoint_in_a_cloud_is_shown_until_it_is_mended(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger, second = ledger_of(Settings(home=tmp_path)), {**about(ModelVersion("hand", 2, 2), "d"), "stage": Stage.PRODUCTION}
    row = standing_endpoints(load_entries(Settings(home=tmp_path)))[0].model_copy(update={"target": "runpod"})
    ledger.append(HookFailed(**second, hook="deploy", attempt=1, reason="every worker is unhealthy"))
    known = troubles(load_entries(Settings(home=tmp_path)))
    assert ask_all([row], {}, known)[0].state == "in trouble: every worker is unhealthy"
    ledger.append(HookDone(**second, hook="deploy"))
    assert troubles(load_entries(Settings(home=tmp_path))) == {}


def test_rates_are_counted_once_and_survive_a_restart() -> None:
    rates = Rates()

    def seen(count: float, at: float) -> None:
        rates.add([Endpoint("hand", "v", "local", "u", "answers", count)], at)

    for count, at in ((100, 0.0), (150, 5.0), (151, 5.5), (10, 10.0)):
        seen(count, at)
    assert list(rates.table()["requests"]) == [10.0, 2.0]


def test_runs_are_grouped_compared_and_drawn() -> None:
    rows = [a_run(number) for number in range(6)] + [a_run(7, status="FAILED", metrics={}, params={"lr": "high"})]
    table = group_table(rows, "lr", "test_top1")
    assert list(table["runs"]) == [2, 2, 2, 1]
    assert table["highest test_top1"][0] == pytest.approx(0.53)
    assert table["failed"].sum() == 1
    assert metric_names([a_run(1, metrics={"z": 1.0, "cost_usd": 1.0}), a_run(2, metrics={"z": 2.0, "a": 1.0})]) == [
        "cost_usd",
        "z",
        "a",
    ]
    assert list(difference_table(rows[:3])["parameter"]) == ["lr"]
    points = parallel_table(rows, ["lr", "test_top1"])
    assert points["share"].between(0, 1).all()
    assert len(points) == 12
    front = front_table(rows, "cost_usd", "test_top1")
    assert list(front[front["front"]]["cost"]) == [0.0, 0.001, 0.002, 0.003, 0.004, 0.005]
    shown = curve_table({"a": [(1, 0, 1.0), (2, 0, 3.0)]}, 0.5)
    assert list(shown["measured"]) == [1.0, 3.0]
    assert shown["value"][1] < 3.0
    assert curves(shown, "x").to_dict()


def test_a_metric_called_like_a_column_of_ours_keeps_its_figures() -> None:
    table = run_frame([a_run(1, metrics={"status": 3.0})], "http://m")
    assert list(table["status"]) == ["FINISHED"]
    assert list(table["status (metric)"]) == [3.0]
    assert table["MLflow"][0] == f"http://m/#/experiments/1/runs/{1:032x}"


def test_a_confusion_matrix_has_a_share_of_each_truth(tmp_path: Path) -> None:
    fill(tmp_path)
    scored = next(one.event.evaluation for one in entries_of(tmp_path) if hasattr(one.event, "evaluation"))
    cells = confusion_table(scored)
    assert list(cells["images"]) == [4, 1, 0, 5]
    assert list(cells["share"]) == [0.8, 0.2, 0.0, 1.0]
    assert confusion(cells).to_dict()


def test_a_data_set_says_what_is_missing_and_what_is_rare(tmp_path: Path) -> None:
    make_data(tmp_path)
    held = data_sets(tmp_path)[0]
    assert shares(held.counts()) == []
    held.frames = [one for one in held.frames if one["label"] == "a" or one["split"] == "train"]
    held.frames += [dict(one) for one in held.frames if one["label"] == "a"] * 2
    told = shares(held.counts())
    assert "Class 'b' has no frames in val." in told
    assert "Class 'b' has 3 frames, and 'a' 18." in told
    assert class_counts(held.counts()).to_dict()
    assert LocalDataset(tmp_path / "datasets" / "hand").digest == held.digest


def test_words_are_shortened_and_never_markup() -> None:
    assert shorten("a\n b" + "c" * 100, 10) == "a bcccccc…"
    assert escaped("**a** [b](c) :red[d] $e$ <f>").replace("\\", "") == "**a** [b](c) :red[d] $e$ <f>"
    assert escaped("*").startswith("\\")


@pytest.mark.parametrize("name", ["a.html", "a.csv", "a.json"])
def test_a_report_is_written_whole_and_another_ending_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from dashboards.report import write_report

    fill(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    write_report(tmp_path / name)
    assert "hand/2" in (tmp_path / name).read_text()
    with pytest.raises(ModelyardError, match="is no kind of report"):
        write_report(tmp_path / "a.pdf")
