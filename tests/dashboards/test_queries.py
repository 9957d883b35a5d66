"""The ledger's rows as tables, and the charts of empty ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from worlds import fill

from dashboards.charts import burn_down as burn_down_chart
from dashboards.charts import cost_by_version, curves, parallel, pareto_front, timeline
from dashboards.decisions import moments, parity_table, waiting_table
from dashboards.money.spending import burn_down
from dashboards.overview import served_table
from dashboards.queries import (
    approval_table,
    cost_table,
    evidence_table,
    gate_table,
    load_entries,
    registry_table,
)
from dashboards.runs import curve_table, front_table, parallel_table, run_frame
from registry.events import Flipped, Promoted, Published, Refused, about
from registry.opening import ledger_of
from registry.records import Evidence, ModelVersion, Proof, Scan
from registry.reports.reader import LedgerReader
from registry.settings import Settings
from registry.stages import Stage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


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
    assert burn_down_chart(burn_down([], NOON)).to_dict()


def test_the_ledger_is_read_on_from_where_it_was_and_anew_where_it_is_another(tmp_path: Path) -> None:
    fill(tmp_path)
    reader = LedgerReader(Settings(home=tmp_path))
    first = reader.refresh()
    assert reader.refresh() == first
    held = reader.head(first)
    fill(tmp_path, "face")
    assert reader.refresh() == 2 * first
    assert len(held) == first
    (tmp_path / "ledger.db").unlink()
    for leftover in (*tmp_path.glob("ledger.db-*"), *tmp_path.glob("keys/ledger-*")):
        leftover.unlink()
    fill(tmp_path, "other")
    assert reader.refresh() == first
    assert {entry.event.model for entry in reader.head(first)} == {"other"}


def test_evidence_names_the_bytes_data_and_policy_of_a_verdict(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger, third = ledger_of(Settings(home=tmp_path)), about(ModelVersion("hand", 10, 10), "d" * 64)
    scores = next(row.event.evaluation for row in ledger.entries() if row.event.kind == "evaluated")
    scan = Scan(scanner="picklescan", files=3, formats={}, pickles=[], dangerous=[])
    known = Evidence(model="hand", version=10, created_ms=10, digest="d" * 64, evaluation=scores, scans={"model": scan})
    fields = {"manifest": {}, "dataset": "e" * 64, "policy": [], "policy_hash": "f" * 64, "tools": {}}
    refused = Refused(**third, stage=Stage.STAGING, actor="ada", findings=[], proof=Proof(evidence=known, **fields))
    row = ledger.append(refused).seq
    ledger.append(Published(**third, row=row, run_id="r1"))
    table = evidence_table(load_entries(Settings(home=tmp_path)), {"r1": "http://x/r1"}).iloc[0]
    assert (table["row"], table["version"], table["outcome"], table["policy"]) == (row, "hand/10", "refused", "f" * 12)
    assert (table["model's files"], table["data set"], table["MLflow"]) == ("d" * 12, "e" * 12, "http://x/r1")
    assert table["held-out"] == "10 images of 5 clips (test)"
    assert table["scans"] == "model: 0 dangerous of 3 files"


def test_a_version_that_gave_its_stage_to_another_is_archived_as_status_says(tmp_path: Path) -> None:
    ledger = ledger_of(Settings(home=tmp_path))
    for number in (1, 2):
        here = about(ModelVersion("hand", number, number), f"d{number}")
        ledger.append(Promoted(**here, stage=Stage.STAGING, previous=None, actor="ada", findings=[]))
        ledger.append(Flipped(**here, stage=Stage.STAGING, previous=None, actor="ada"))
    shown = registry_table(load_entries(Settings(home=tmp_path))).set_index("version")["stage"]
    assert dict(shown) == {"hand/2": "staging", "hand/1": "archived"}
