"""Pages show what the ledger, the copy of MLflow's runs and the data sets hold: empty, small, huge, odd and broken."""

from __future__ import annotations

import inspect
import re
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

sys.path.insert(0, str(Path(__file__).parent))

from worlds import DASHBOARDS, MARKUP, a_run, budget, fill, fill_runs, make_data, page, words

from registry.events import Approved, Blocked, HookFailed, Refused, about
from registry.files import write_json
from registry.memory import MemoryEntry
from registry.opening import ledger_of
from registry.records import Finding, ModelVersion
from registry.settings import Settings
from registry.spending import BudgetOverridden, TrainingFailed
from registry.stages import Stage

NAMES = sorted(path.stem for path in (DASHBOARDS / "views").glob("[a-z]*.py"))


FORBIDDEN = {"unsafe_allow_html", ".append(", "set_alias", "delete_alias", "promote(", "st.html", "components", "unlink("}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_every_page_opens_where_nothing_happened_yet(home: Path, name: str) -> None:
    shown = page(name)
    assert not shown.exception
    assert shown.info or name == "forecast"
    assert shown.title


@pytest.mark.parametrize("name", NAMES)
def test_no_page_is_long_and_none_changes_anything(name: str) -> None:
    text = (DASHBOARDS / "views" / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 80
    for word in FORBIDDEN:
        assert word not in text


def test_nothing_behind_the_pages_writes_or_promotes() -> None:
    for path in DASHBOARDS.rglob("*.py"):
        text = path.read_text()
        for word in FORBIDDEN - {".append("} | {"ledger_of(settings()).append", "ledger.append", "set_policy", "write_json"}:
            assert word not in text, (path.name, word)


@pytest.mark.parametrize("name", NAMES)
def test_every_page_bears_names_with_markup_and_of_ten_thousand_characters(home: Path, name: str) -> None:
    for model in (MARKUP, "n" * 10_000):
        fill(home, model)
        budget(home, "0.0001", model)
    odd = {"metrics": {MARKUP: 1.0}, "odd": ["nan"], "params": {MARKUP: "x" * 500}, "tags": {"mlflow.user": MARKUP}}
    fill_runs(home, [a_run(1, name=MARKUP, experiment=MARKUP, **odd), a_run(2, name="n" * 10_000)])
    make_data(home, ("a b", "![x](y)"))
    shown = page(name)
    assert not shown.exception, shown.exception
    for kind in ("markdown", "subheader", "warning", "error", "info", "caption", "metric"):
        for one in shown.get(kind):
            told = re.sub(r"`[^`]*`", "", str(getattr(one, "value", "")) + str(getattr(one, "label", "")))
            assert "![x](http" not in told
            assert "<script>" not in told.replace("\\<script\\>", "")


def test_the_overview_answers_a_stakeholder_s_questions(home: Path) -> None:
    fill(home)
    budget(home, "100")
    shown = page("overview")
    assert not shown.exception, shown.exception
    assert [(one.label, one.value) for one in shown.metric][-1] == ("hand", "97.0%")
    told = words(shown)
    assert "Right on 10 of 10 pictures that it had never seen" in told
    assert "expect 70% to 99% (95 % interval)" in told
    assert "hand/2 since" in told
    assert "promoted by ada (self-declared) at local: http://127.0.0.1:1" in told
    assert "of this month's $100.00 are spent" in str(shown.get("progress")[0].proto).replace("\\", "")
    assert len(shown.get("download_button")) == 2
    assert list(shown.dataframe[0].value["version"])[:2] == ["hand", "hand/2"]


def test_the_overview_says_what_needs_somebody_and_how_to_mend_it(home: Path) -> None:
    fill(home)
    ledger = ledger_of(Settings(home=home))
    second, third = about(ModelVersion("hand", 2, 2), "d"), about(ModelVersion("hand", 10, 10), "d")
    ledger.append(HookFailed(**second, hook="deploy", stage=Stage.PRODUCTION, attempt=1, reason="no room"))
    ledger.append(Blocked(**third, stage=Stage.STAGING, reason="no promotion ratified it"))
    budget(home, "0.001")
    shown = page("overview")
    told = [one.value.replace("\\", "") for one in (*shown.error, *shown.warning)]
    assert any("no room" in one and "modelyard reconcile" in one for one in told)
    assert any("no promotion ratified it" in one and "modelyard promote hand/10 staging" in one for one in told)
    assert any("nothing new is started" in one and "modelyard budget override hand" in one for one in told)


def test_what_is_gravest_is_shown_first_and_is_not_cut_off(home: Path) -> None:
    for number in range(25):
        fill(home, f"hand{number:02d}")
        third = about(ModelVersion(f"hand{number:02d}", 10, 10), "d")
        found = [Finding(gate="metric", passed=False, text="top1 is below 0.9")]
        ledger_of(Settings(home=home)).append(Refused(**third, stage=Stage.PRODUCTION, actor="ada", findings=found))
    budget(home, "0.0001", "hand07")
    shown = page("overview")
    assert "nothing new is started" in shown.error[0].value
    assert len(shown.warning) == 19


def test_runs_are_grouped_by_a_parameter_of_any_name(home: Path) -> None:
    odd = {"runs": "1", "failed": "2", "status": "mine", "test_top1": "3"}
    fill_runs(home, [a_run(1, params=odd), a_run(2, params=odd), a_run(3)])
    for name in ("runs", "failed", "params.status", "params.test_top1", "status"):
        shown = page("runs", by=name)
        assert not shown.exception, (name, shown.exception)
        table = next(one.value for one in shown.dataframe if "mean test_top1" in one.value)
        assert sorted(table["runs"]) == ([3] if name == "status" else [1, 2])


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_that_cannot_be_used_is_one_line_on_every_page(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("MODELYARD_LOCAL_USD_PER_HOUR", "a lot")
    shown = AppTest.from_file(str(DASHBOARDS / "app.py"), default_timeout=60)
    shown.switch_page(f"views/{name}.py").run()
    assert not shown.exception
    assert "MODELYARD_LOCAL_USD_PER_HOUR" in shown.error[0].value.replace("\\", "")


@pytest.mark.parametrize("name", ["overview", "registry", "costs", "live"])
def test_a_page_of_ten_thousand_ledger_rows_is_made_in_seconds(home: Path, name: str) -> None:
    fill(home)
    ledger = ledger_of(Settings(home=home))
    entry = next(one for one in ledger.entries() if one.event.kind == "trained")
    many = [
        MemoryEntry(100 + place, entry.at, entry.event.model_copy(update={"run_id": str(place)})) for place in range(10_000)
    ]
    import dashboards.queries

    class Many(dashboards.queries.Ledgered):
        def refresh(self) -> int:
            super().refresh()
            self._rows = [*self._rows[:20], *many]
            return len(self._rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dashboards.pages.Ledgered", Many)
        began = time.perf_counter()
        shown = page(name)
        assert not shown.exception
        assert time.perf_counter() - began < 10


def test_a_budget_that_somebody_overrode_stops_nothing_and_says_who(home: Path) -> None:
    fill(home)
    budget(home, "0.0001")
    ledger = ledger_of(Settings(home=home))
    told = {"month": f"{datetime.now(UTC):%Y-%m}", "spent_usd": Decimal(1), "limit_usd": Decimal("0.0001")}
    ledger.append(BudgetOverridden(model="hand", reason="a fair", actor="eve", **told))
    shown = page("overview")
    assert not [one for one in shown.error if "nothing new is started" in one.value]
    assert any("overridden by eve" in one.value for one in shown.warning)


def test_the_registry_page_has_versions_gates_history_parity_and_approvals(home: Path) -> None:
    fill(home)
    fill(home, "face")
    ledger_of(Settings(home=home)).append(
        Approved(**about(ModelVersion("hand", 2, 2), "d"), stage=Stage.PRODUCTION, actor="eve", proven=True)
    )
    shown = page("registry")
    assert not shown.exception
    versions, gates, evidence, history, parity, approvals = (frame.value for frame in shown.dataframe)
    assert list(versions["version"]) == ["face/10", "face/2", "face/1", "hand/10", "hand/2", "hand/1"]
    assert list(versions["stage"]) == ["none", "production", "none"] * 2
    assert len(gates) == 6
    assert list(gates[["figure", "limit"]].iloc[-1]) == [0.8, 0.9]
    assert len(evidence) == 0, "nothing of what a test writes rests on any"
    assert "refused" in set(history["what"])
    assert list(parity["agreement"]) == [1.0, 1.0]
    assert list(approvals["who"]) == ["eve"]
    shown.selectbox[0].set_value("hand").run()
    assert set(shown.dataframe[0].value["version"]) == {"hand/10", "hand/2", "hand/1"}
    shown.toggle[0].set_value(True).run()
    assert list(shown.dataframe[1].value["finding"]) == ["top1 0.8 is below 0.9"]


def test_a_refused_version_waits_with_the_command_that_would_mend_it(home: Path) -> None:
    fill(home)
    assert len(page("registry").dataframe) == 6  # version 1 gave way to version 2: that is history
    found = [Finding(gate="approval", passed=False, text="nobody approved it")]
    third = about(ModelVersion("hand", 10, 10), "d")
    ledger_of(Settings(home=home)).append(Refused(**third, stage=Stage.PRODUCTION, actor="ada", findings=found))
    table = page("registry").dataframe[0].value
    assert list(table["command"]) == ["modelyard approve hand/10 --stage production"]
    assert list(table["what"]) == ["refused: nobody approved it"]


def test_the_costs_page_adds_up_to_the_cent_by_what_is_chosen_with_budgets(home: Path) -> None:
    fill(home)
    assert [metric.value for metric in page("costs").metric] == ["$0.0025", "$36.50", "3"]
    budget(home, "10")
    spent = {
        "seconds": 9.0,
        "hardware": "runpod: A100",
        "usd": Decimal("0.5"),
        "price_as_of": "2026-11-01",
        "actor": "<b>bob</b>",
    }
    failed = TrainingFailed(model="hand", trainer="yolo", run_id="x", reason="no memory", **spent)
    ledger_of(Settings(home=home)).append(failed)
    shown = page("costs")
    assert not shown.exception
    table = next(one.value for one in shown.dataframe if "per promoted" in one.value)
    assert (list(table["model"]), list(table["failed"]), list(table["in production"])) == (["hand"], [0.5], [1])
    assert table["per promoted"][0] == pytest.approx(0.5025, abs=1e-3)
    assert "0.50 of 10.00 USD" in str(shown.get("progress")[0].proto).replace("\\", "")
    shown.selectbox[0].set_value("person").run()
    assert any("<b>bob</b>" in list(one.value.get("person", ())) for one in shown.dataframe)


def test_the_forecast_page_says_where_it_is_cheapest_and_what_that_rests_on(home: Path) -> None:
    assert "An answer takes 50 ms (as I say)" in page("forecast").caption[0].value
    fill(home)
    shown = page("forecast")
    assert not shown.exception
    assert "is the cheapest at 1,000 requests per day" in words(shown)
    table = shown.dataframe[0].value
    assert len(table) == 8
    assert list(table["a month"]) == sorted(table["a month"])
    assert words(shown).count("per hour") >= 8
    assert "An answer takes 1 ms (measured on this machine, hand/2" in words(shown)
    assert any("days old" in one.value for one in shown.warning)
    shown.number_input[0].set_value(0).run()
    assert not shown.exception


def test_the_runs_page_shows_the_last_known_runs_with_their_age_while_the_server_is_away(home: Path) -> None:
    fill(home)
    shown = page("runs")
    assert "start it with `modelyard up`" in words(shown)
    fill_runs(home, [a_run(1), a_run(2)], ago_s=7300)
    shown = page("runs")
    assert not shown.exception
    assert "These are the runs of 2 hours ago" in shown.warning[0].value
    assert list(shown.dataframe[0].value["run"]) == ["torch 2", "torch 1"]


def test_runs_are_filtered_sorted_grouped_and_compared_by_the_page_s_address(home: Path) -> None:
    fill(home)
    fill_runs(home, [a_run(number) for number in range(1, 30)] + [a_run(30, status="FAILED", metrics={})])
    shown = page("runs", filter="test_top1 > 0.7 and lr = 1", sort="test_top1", runs=f"{22:032x},{25:032x}")
    assert not shown.exception, shown.exception
    table = shown.dataframe[0].value
    assert list(table["run"]) == ["torch 28", "torch 25", "torch 22"]
    assert "those that are ticked" in words(shown)
    groups = next(one.value for one in shown.dataframe if "mean test_top1" in one.value)
    assert list(groups["runs"]) == [3]
    shown.text_input[0].set_value("test_top1 >").run()
    assert "cannot be read" in shown.warning[-1].value.replace("\\", "")
    shown.text_input[0].set_value("status = FAILED").run()
    assert list(shown.dataframe[0].value["run"]) == ["torch 30"]
    assert not shown.exception, shown.exception


def test_the_runs_page_shows_confusion_and_the_worst_mistakes_as_pictures(home: Path) -> None:
    fill(home, dataset=make_data(home))
    fill_runs(home, [a_run(1), a_run(2)])
    shown = page("runs")
    assert not shown.exception, shown.exception
    assert "hand/2" in words(shown)
    assert "a, answered b (90%)" in words(shown)
    assert len(shown.get("image")) == 2


def test_ten_thousand_runs_and_five_hundred_metrics_are_usable_in_a_second(home: Path) -> None:
    wide = {f"metric {number}": 0.5 for number in range(500)}
    fill_runs(home, [a_run(number) for number in range(10_000)] + [a_run(10_001, metrics=wide)])
    page("runs")
    began = time.perf_counter()
    shown = page("runs")
    assert time.perf_counter() - began < 4  # the limit of 1 s is a bench row, measured on a quiet machine
    assert not shown.exception, shown.exception
    assert shown.dataframe[0].value.shape == (10_001, 36)


def test_the_data_page_shows_counts_frames_and_what_the_checks_said(home: Path) -> None:
    digest = make_data(home)
    shown = page("data")
    assert not shown.exception
    assert [one.value for one in shown.metric] == ["12", "12", "2", "unchecked"]
    assert len(shown.get("image")[0].proto.imgs) == 6
    report = {
        "dataset": digest,
        "findings": [{"outcome": "warning", "text": MARKUP}],
        "spread": {"brightness": {"edges": [0, 1], "frames": [12]}},
    }
    write_json(home / "reports" / "other" / "report.json", report | {"dataset": "x"})
    assert not page("data").dataframe
    write_json(home / "reports" / "hand" / "report.json", report)
    (home / "reports" / "hand" / "report.json").touch()
    assert list(page("data").dataframe[0].value["outcome"]) == ["warning"]
    for broken in ("{", '{"dataset": 3}', "[]"):
        (home / "reports" / "hand" / "report.json").write_text(broken)
        assert not page("data").exception
    (home / "datasets" / "broken").mkdir()
    (home / "datasets" / "broken" / "manifest.json").write_text('{"labels": 3}')
    assert not page("data").exception


def test_a_manifest_is_no_reason_to_show_any_file_of_this_machine(home: Path) -> None:
    from dashboards.datasets import LocalDataset
    from registry.files import read_json, write_json

    make_data(home)
    (home / "secret.jpg").write_bytes(b"x")
    manifest = home / "datasets" / "hand" / "manifest.json"
    told = read_json(manifest)
    told["frames"][0]["file"] = "../../secret.jpg"
    write_json(manifest, told)
    assert LocalDataset(manifest.parent).inside("../../secret.jpg") is None
    assert not page("data").exception


def test_the_live_page_says_which_endpoint_does_not_answer(home: Path) -> None:
    fill(home)
    shown = page("live")
    assert not shown.exception
    assert "modelyard reconcile" in shown.error[0].value.replace("\\", "")
    assert list(shown.dataframe[0].value["state"]) == ["does not answer (ConnectError)"]


def test_a_broken_ledger_is_one_line(home: Path) -> None:
    (home / "ledger.db").write_text("no database at all" * 100)
    for name in ("overview", "registry", "costs", "live"):
        shown = page(name)
        assert not shown.exception, shown.exception
        assert "the ledger cannot be used" in shown.error[0].value.replace("\\", "")


def test_a_clock_that_jumped_back_makes_no_age_negative(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboards.overview import overview
    from dashboards.queries import load_entries
    from dashboards.report import as_html

    fill(home)
    told = overview(load_entries(Settings(home=home)), datetime(2020, 1, 1, tzinfo=UTC))
    assert "(today)" in as_html(told)
    assert told.expected_usd >= 0


def test_a_password_stands_before_every_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dashboards.door

    monkeypatch.setattr(dashboards.door, "_DELAY_S", 0.0)
    fill(home)
    monkeypatch.setenv("MODELYARD_DASHBOARD_PASSWORD", "op3n")
    shown = AppTest.from_file(str(DASHBOARDS / "app.py"), default_timeout=60).run()
    assert "hand" not in words(shown)
    shown.text_input[0].set_value("wrong")
    shown.button[0].click().run()
    assert "not the password" in shown.error[0].value
    assert "hand" not in words(shown)
    shown.text_input[0].set_value("op3n")
    shown.button[0].click().run()
    assert not shown.error
    assert "Models in production" in words(shown)


def test_there_is_a_page_for_each_thing_that_was_promised() -> None:
    assert {"overview", "runs", "registry", "costs", "forecast", "data", "live"} == set(NAMES)
    for name in NAMES:
        assert f"views/{name}.py" in inspect.cleandoc((DASHBOARDS / "app.py").read_text())


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
    shown = page("runs", experiment="pages")
    assert not shown.exception, shown.exception
    table = shown.dataframe[0].value
    assert list(table["run"]) == ["torch <b>bold</b>"]
    assert list(table["test_top1"]) == [0.91]
    assert list(table["not numbers"]) == ["odd"]
    assert not shown.warning
