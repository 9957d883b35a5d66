"""The pages about money: sums by experiment, budgets that were overridden, a forecast with every assumption whole."""

from __future__ import annotations

import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

sys.path.insert(0, str(Path(__file__).parent))

from worlds import MARKUP, a_run, budget, fill, fill_runs, page, words

from dashboards.money import break_even, exports, outlook_table
from dashboards.queries import load_entries
from registry.events import Deployed, now
from registry.money.catalogue import published
from registry.money.forecast import forecast_place
from registry.money.places import Assumptions, Measurements, Overrides, list_places
from registry.money.prices import local_price
from registry.money.traffic import Traffic
from registry.opening import ledger_of
from registry.settings import Settings
from registry.spending import Billed, BudgetOverridden, TrainingFailed


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    return tmp_path


def test_the_costs_page_sums_by_experiment_as_mlflow_s_runs_lie(home: Path) -> None:
    fill(home)
    fill_runs(home, [a_run(1, experiment="sweep")])
    shown = page("costs", by="experiment")
    assert not shown.exception, shown.exception
    table = next(one.value for one in shown.dataframe if "experiment" in one.value)
    assert set(table["experiment"]) == {"hand", "sweep"}


def test_the_costs_page_shows_other_bills_apart_and_a_budget_that_was_overridden(home: Path) -> None:
    fill(home)
    budget(home, "0.001")
    ledger, at = ledger_of(Settings(home=home)), now()
    assert "nothing new is started" in str(page("costs").get("progress")[0].proto)
    told = {"resource": MARKUP, "told": "4 USD", "source": "x", "start": at - timedelta(hours=1), "end": at}
    ledger.append(Billed(model="", provider="runpod", usd=Decimal(4), **told))
    spent = {"spent_usd": Decimal(1), "limit_usd": Decimal("0.001"), "reason": "x", "actor": "eve"}
    ledger.append(BudgetOverridden(model="hand", month=f"{at:%Y-%m}", **spent))
    shown = page("costs")
    assert not shown.exception, shown.exception
    table = next(one.value for one in shown.dataframe if "other" in one.value).set_index("model")
    assert (table.loc["(none)", "other"], table.loc["hand", "other"]) == (4, 0)
    assert "overridden by eve" in str(shown.get("progress")[0].proto)


def test_the_forecast_page_shows_every_assumption_whole(home: Path) -> None:
    fill(home)
    shown = page("forecast")
    assert not shown.exception, shown.exception
    told = words(shown)
    for sentence in (
        "the visitor's browser", "it runs on the visitor's device", "needs a TF.js export", "at most 3 workers",
        "Every place is assumed to answer as fast as the machine where this was measured.",
        "(assumed; loading the model took 0.03 s of it here, measured)", "with the bundle's 2.5 MB", "no network volume",
        "https://docs.runpod.io/serverless/pricing, per second times 3600, read by hand",
    ):  # fmt: skip
        assert sentence in told, sentence
    table = shown.dataframe[0].value
    assert table["place"][0] == "the visitor's browser"
    assert (len(table), table["a month"][0]) == (8, 0)
    assert "browser" not in shown.subheader[0].value


def asked(shown: AppTest, label: str):
    return next(one for one in shown.number_input if one.label.startswith(label))


def test_the_forecast_page_asks_all_that_the_command_asks(home: Path) -> None:
    fill(home)
    shown = page("forecast")
    asked(shown, "longest wait").set_value(1.0)
    asked(shown, "workers at most").set_value(9)
    asked(shown, "seconds until a RunPod worker").set_value(3.0)
    asked(shown, "GB of a RunPod network volume").set_value(50.0)
    shown.run()
    assert not shown.exception, shown.exception
    told = words(shown)
    assert "at most 9 workers" in told
    assert "a worker starts in 3 s (as given)" in told
    assert "a network volume of 50 GB all month" in told
    assert any("s is above the limit of 1 s" in text for text in shown.dataframe[0].value["will not do"])


def test_the_forecast_page_uses_a_start_that_was_measured(home: Path) -> None:
    fill(home)
    event = next(one.event for one in load_entries(Settings(home=home)) if isinstance(one.event, Deployed))
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


def test_a_machine_that_costs_nothing_breaks_no_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_LOCAL_USD_PER_HOUR", "0")
    fill(home)
    ledger = ledger_of(Settings(home=home))
    told = {"seconds": 0.0, "hardware": "local: here", "usd": Decimal(0), "price_as_of": "x", "run_id": "z"}
    ledger.append(TrainingFailed(model="free", trainer="torch", reason="x", **told))
    for name in ("forecast", "costs", "overview"):
        shown = page(name)
        assert not shown.exception, (name, shown.exception)
    shown = page("forecast")
    assert "this machine is the cheapest at 1,000 requests per day: $0.00 per month" in words(shown)
    shown.number_input[0].set_value(0).run()
    assert not shown.exception, shown.exception


def test_break_even_leaves_out_what_is_not_rented_and_never_draws_a_logarithm_of_nothing() -> None:
    free = local_price(Settings()).model_copy(update={"usd_per_hour": Decimal(0)})
    there = list_places(published(), free, Assumptions.combine(Measurements(service_ms=5, service_from="x"), Overrides()))
    points = break_even(Traffic(requests_per_day=1), there)
    assert set(points["place"]) == {one.name for one in there if one.rented}
    assert (points["usd"] >= 0.01).all()
    table = outlook_table([forecast_place(Traffic(requests_per_day=9), there[-1])])
    assert (table["a month"][0], table["per 1,000"][0]) == (0, 0)


def test_the_newest_export_of_each_version_is_the_one_that_counts(home: Path) -> None:
    fill(home)
    fill(home, "face")
    assert list(exports(load_entries(Settings(home=home)))) == ["face/2", "hand/2"]
    assert exports([]) == {}
