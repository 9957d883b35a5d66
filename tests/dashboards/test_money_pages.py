"""The pages about money: sums by experiment, budgets that were overridden, a forecast with every assumption whole."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from worlds import MARKUP, a_run, budget, entries_of, fill, fill_runs, page, words

from dashboards.decisions import moments
from dashboards.money.outlook import break_even, outlook_table
from dashboards.money.spending import latest_exports
from dashboards.overview import overview
from pipelines.money.budgets import override_person, set_person_budget
from registry.events import Deployed, now
from registry.money.catalogue import published
from registry.money.forecast import forecast_place
from registry.money.places import Assumptions, Measurements, Overrides, list_places
from registry.money.prices import local_price
from registry.money.traffic import Traffic
from registry.opening import ledger_of
from registry.records import Actor
from registry.settings import Settings
from registry.spending import Billed, BudgetOverridden, TrainingFailed
from serving.targets.plans import alternatives


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
    table = next(frame.value for frame in shown.dataframe if "per promoted" in frame.value)
    assert (list(table["model"]), list(table["failed"]), list(table["in production"])) == (["hand"], [0.5], [1])
    assert table["per promoted"][0] == pytest.approx(0.5025, abs=1e-3)
    progress = str(shown.get("progress")[0].proto).replace("\\", "")
    assert re.search(r"hand: \$0\.50\d\d of this month's \$10\.00 budget spent", progress)
    shown.selectbox(key="by").set_value("person").run()
    assert any("<b>bob</b>" in list(frame.value.get("person", ())) for frame in shown.dataframe)


def test_a_person_s_budget_is_on_the_pages_and_in_the_history(home: Path) -> None:
    fill(home)
    ledger = ledger_of(Settings(home=home))
    paid = {"seconds": 9.0, "hardware": "runpod: A100", "usd": Decimal("4.5"), "price_as_of": "2026-11-01", "actor": "ada"}
    ledger.append(TrainingFailed(model="hand", trainer="yolo", run_id="x", reason="no memory", **paid))
    set_person_budget(ledger, "ada", Decimal(5), Actor("root", proven=True))
    shown = page("costs")
    assert not shown.exception
    assert re.search(
        r"ada: \$4\.50 of this month's \$5\.00 budget spent", str(shown.get("progress")[0].proto).replace("\\", "")
    )
    assert "ada spent $4.50 of its $5.00 budget" in words(page("overview")).replace("\\", "")
    ledger.append(TrainingFailed(model="hand", trainer="yolo", run_id="y", reason="no memory", **paid))
    alerts = overview(entries_of(home), now()).alerts
    assert [alert.command for alert in alerts if alert.grave] == ['modelyard budget override --person ada --reason "…"']
    override_person(ledger, "ada", "the fair", Actor("root", proven=True))
    assert not any(alert.grave for alert in overview(entries_of(home), now()).alerts)
    mine = moments(entries_of(home)).query("what.str.startswith('person')")
    assert [tuple(row) for row in mine[["model", "version", "what"]].to_numpy()] == [
        ("", "ada", "person budget overridden"),
        ("", "ada", "person budget set"),
    ]


def figures(shown: AppTest):
    """The table of all figures of the Forecast page."""
    return next(frame.value for frame in shown.dataframe if "place" in frame.value)


@pytest.mark.journey  # simulates months
def test_the_forecast_page_names_the_cheapest_place_and_its_assumptions(home: Path) -> None:
    assert "Latency: 50 ms (custom)" in words(page("forecast"))
    fill(home)
    shown = page("forecast")
    assert not shown.exception
    assert "is the cheapest at 1,000 requests per day" in words(shown)
    words_of, table = (frame.value for frame in shown.dataframe)
    assert len(table) == len(words_of) == 9
    assert list(table["per month"]) == sorted(table["per month"])
    assert list(words_of.columns)[:2] == ["what", "per month"], "a phone shows what decides"
    assert "small CPU, sleeps when idle (RunPod)" in set(words_of["what"])
    assert words(shown).count("per hour") >= 8
    assert "Latency: 1 ms (measured on this machine, hand/2" in words(shown)
    assert not shown.warning
    assert sum("of the prices are old" in caption.value for caption in shown.caption) == 1, "one quiet note"
    assert "days old" in words(shown), "which ones, among the assumptions"
    assert shown.subheader[0].value.replace("\\", "").startswith("The cheapest at 1,000 requests per day: small CPU, ")
    shown.number_input[0].set_value(0).run()
    assert not shown.exception


def test_the_costs_page_sums_by_experiment_as_mlflow_s_runs_lie(home: Path) -> None:
    fill(home)
    fill_runs(home, [a_run(1, experiment="sweep")])
    shown = page("costs", by="experiment")
    assert not shown.exception, shown.exception
    table = next(frame.value for frame in shown.dataframe if "experiment" in frame.value)
    assert set(table["experiment"]) == {"hand", "sweep"}


def test_the_costs_page_shows_other_bills_apart_and_an_overridden_budget(home: Path) -> None:
    fill(home)
    budget(home, "0.001")
    ledger, at = ledger_of(Settings(home=home)), now()
    assert "nothing new is started" in str(page("costs").get("progress")[0].proto)
    fields = {"resource": MARKUP, "told": "4 USD", "source": "x", "start": at - timedelta(hours=1), "end": at}
    ledger.append(Billed(model="", provider="runpod", usd=Decimal(4), **fields))
    spent = {"spent_usd": Decimal(1), "limit_usd": Decimal("0.001"), "reason": "x", "actor": "eve"}
    ledger.append(BudgetOverridden(model="hand", month=f"{at:%Y-%m}", **spent))
    shown = page("costs")
    assert not shown.exception, shown.exception
    table = next(frame.value for frame in shown.dataframe if "other" in frame.value).set_index("model")
    assert (table.loc["(none)", "other"], table.loc["hand", "other"]) == (4, 0)
    assert "overridden by eve" in str(shown.get("progress")[0].proto)


def test_the_forecast_page_shows_every_assumption_whole(home: Path) -> None:
    fill(home)
    shown = page("forecast")
    assert not shown.exception, shown.exception
    text = words(shown)
    for sentence in (
        "the visitor's browser", "it runs on the visitor's device", "needs a TF.js export", "at most 2 workers",
        "Every place is assumed to answer as fast as the machine where this was measured.",
        "(assumed; loading the model took 0.03 s of it here, measured)", "with the bundle's 2.5 MB", "no network volume",
        "https://docs.runpod.io/serverless/pricing, per second times 3600, read by hand",
    ):  # fmt: skip
        assert sentence in text, sentence
    table = figures(shown)
    assert table["place"][0] == "the visitor's browser"
    assert (len(table), table["per month"][0]) == (9, 0)
    assert "browser" not in shown.subheader[0].value


def field(shown: AppTest, label: str):
    return next(entry for entry in shown.number_input if entry.label == label)


def test_the_forecast_page_asks_all_that_the_command_asks(home: Path) -> None:
    fill(home)
    shown = page("forecast")
    field(shown, "p95 latency limit, s").set_value(1.0)
    field(shown, "Max workers, where they scale").set_value(9)
    field(shown, "RunPod cold start, s").set_value(3.0)
    field(shown, "RunPod network volume, GB").set_value(50.0)
    shown.run()
    assert not shown.exception, shown.exception
    text = words(shown)
    assert "at most 9 workers" in text
    assert "a worker starts in 3 s (as given)" in text
    assert "a network volume of 50 GB all month" in text
    assert any("s is above the limit of 1 s" in problem for problem in shown.dataframe[0].value["problem"])


def test_the_forecast_page_uses_a_start_that_was_measured(home: Path) -> None:
    fill(home)
    event = next(entry.event for entry in entries_of(home) if isinstance(entry.event, Deployed))
    ledger_of(Settings(home=home)).append(event.model_copy(update={"target": "runpod", "cold_start_s": 14.5}))
    assert "a worker starts in 14.5 s (measured with hand/2 on 20" in words(page("forecast"))


@pytest.mark.parametrize("broken", ["[]", "{", "", '{"prices": [{}]}'])
def test_a_broken_price_catalogue_is_one_line_on_the_page(home: Path, broken: str) -> None:
    (home / "prices.json").write_text(broken)
    shown = page("forecast")
    assert not shown.exception, shown.exception
    assert len(shown.error) == 1
    assert "is not a price catalogue; remove it, then run" in shown.error[0].value.replace("\\", "")
    assert not shown.dataframe


@pytest.mark.journey  # simulates months
def test_a_machine_that_costs_nothing_breaks_no_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_LOCAL_USD_PER_HOUR", "0")
    fill(home)
    ledger = ledger_of(Settings(home=home))
    fields = {"seconds": 0.0, "hardware": "local: here", "usd": Decimal(0), "price_as_of": "x", "run_id": "z"}
    ledger.append(TrainingFailed(model="free", trainer="torch", reason="x", **fields))
    for name in ("forecast", "costs", "overview"):
        shown = page(name)
        assert not shown.exception, (name, shown.exception)
    shown = page("forecast")
    assert "this machine is the cheapest at 1,000 requests per day: $0.00 per month" in words(shown)
    monkeypatch.delenv("MODELYARD_LOCAL_USD_PER_HOUR")
    shown = page("forecast")
    assert "is the cheapest at 1,000 requests per day: $" in words(shown)
    assert "this machine is the cheapest" not in words(shown), "a place is not advised for a rate that nobody set"
    table = figures(shown)
    assert table.loc[table["place"] == "this machine", "per month"].tolist() == [0]
    shown.number_input[0].set_value(0).run()
    assert not shown.exception, shown.exception


def test_break_even_leaves_out_what_is_not_rented_and_never_draws_a_logarithm_of_nothing() -> None:
    free = local_price(Settings()).model_copy(update={"usd_per_hour": Decimal(0)})
    assumed = Assumptions.combine(Measurements(service_ms=5, service_from="x"), Overrides())
    options = list_places(published(), free, assumed, alternatives())
    points = break_even(Traffic(requests_per_day=1), options)
    assert set(points["place"]) == {option.name for option in options if option.is_paid} != set()
    assert (points["usd"] >= 0.01).all()
    table = outlook_table([forecast_place(Traffic(requests_per_day=9), options[-1])])
    assert (table["per month"][0], table["per 1,000"][0]) == (0, 0)


def test_the_newest_export_of_each_version_is_the_one_that_counts(home: Path) -> None:
    fill(home)
    fill(home, "face")
    assert list(latest_exports(entries_of(home))) == ["face/2", "hand/2"]
    assert latest_exports([]) == {}
