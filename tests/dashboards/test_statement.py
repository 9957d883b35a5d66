"""A month's statement, and what a month would cost elsewhere in words and bands."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import MARKUP, entries_of, fill, page, words

from dashboards.files import table_csv
from dashboards.money.outlook import band, bands_table, bars_table, describe_place, descriptions, twice
from dashboards.money.statement import lines_table, sentence, statement, statement_html
from registry.errors import InputError
from registry.events import now
from registry.money.catalogue import published
from registry.money.forecast import PlaceForecast, forecast_places
from registry.money.places import Assumptions, Measurements, Overrides, list_places
from registry.money.prices import local_price
from registry.money.traffic import Traffic
from registry.opening import ledger_of
from registry.reports.accounts import spending
from registry.settings import Settings
from registry.spending import TrainingFailed
from serving.targets.plans import alternatives


@pytest.fixture
def spent(tmp_path: Path) -> Path:
    """A home in which something was spent, by somebody whose names are markup."""
    fill(tmp_path)
    fields = {"seconds": 9.0, "hardware": "runpod: A100", "usd": Decimal("0.5"), "price_as_of": "2026-11-01", "actor": "=1+1"}
    ledger_of(Settings(home=tmp_path)).append(
        TrainingFailed(model=MARKUP, trainer="yolo", run_id="x", reason="no memory", **fields)
    )
    return tmp_path


def test_a_statement_adds_up_to_the_books_and_escapes_every_name(spent: Path) -> None:
    entries, at = entries_of(spent), now()
    month = f"{at:%Y-%m}"
    given = statement(entries, month, at)
    assert given.usd == sum((spend.usd for spend in spending(entries, at) if spend.month == month), Decimal(0))
    html = statement_html(given)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "default-src 'none'" in html
    rows = list(csv.DictReader(io.StringIO(table_csv(lines_table(given)))))
    assert sum(Decimal(row["usd"]) for row in rows) == given.usd, "to the last digit"
    assert {row["person"] for row in rows} >= {"'=1+1"}, "a spreadsheet takes no name for a formula"
    assert "of it for" in sentence(given.month, given.lines)
    shown = [Decimal(amount.replace(",", "")) for amount in re.findall(r'<td class="number">([\d.,]+)</td></tr>', html)]
    half = len(shown) - len(given.lines) - 1
    assert len(shown[half:-1]) == len(given.lines)
    assert abs(sum(shown[half:-1]) - shown[-1]) <= Decimal("0.00005") * len(given.lines), (
        "what is shown adds up to what is shown"
    )
    assert "the largest part of that on training" in sentence(given.month, given.lines)


def test_a_month_without_costs_and_what_is_no_month(tmp_path: Path) -> None:
    fill(tmp_path)
    empty = statement(entries_of(tmp_path), "2020-01", now())
    assert sentence(empty.month, empty.lines) == "Nothing was spent in 2020-01."
    assert "Nothing." in statement_html(empty)
    with pytest.raises(InputError, match="write it as 2026-11"):
        statement(entries_of(tmp_path), "November", now())


@pytest.mark.parametrize("ending", ["html", "csv", "json"])
def test_the_command_writes_a_month_and_refuses_what_is_none(spent: Path, ending: str) -> None:
    month, file = f"{datetime.now(UTC):%Y-%m}", spent / f"statement.{ending}"
    words = [sys.executable, "-m", "pipelines.cli.main", "report", str(file), "--home", str(spent)]
    done = subprocess.run([*words, "--month", month, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["month"] == month
    assert sum(Decimal(line["usd"]) for line in answer["lines"]) == Decimal(answer["usd"])
    assert month in file.read_text()
    file.unlink()
    refused = subprocess.run([*words, "--month", "11/2026"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert not file.exists()


def test_the_costs_page_says_in_a_sentence_where_the_money_went(spent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(spent))
    shown = page("costs")
    assert not shown.exception, shown.exception
    assert "the largest part of that on training" in words(shown)
    assert [head.value for head in shown.subheader][:2] == ["Where did the money go?", "What will it be?"]
    assert len(shown.get("vega_lite_chart")) >= 2


def forecasts(requests: float = 1000) -> list[PlaceForecast]:
    """A month in every place."""
    assumed = Assumptions.combine(Measurements(service_ms=5, service_from="x"), Overrides())
    places = list_places(published(), local_price(Settings()), assumed, alternatives())
    return forecast_places(Traffic(requests_per_day=requests), places, sample=500)


def test_a_place_is_called_by_what_it_is_and_its_month_is_no_more_exact_than_known() -> None:
    now_, doubled = forecasts(), forecasts(2000)
    called = {forecast.place.name: describe_place(forecast.place) for forecast in now_}
    assert called["this machine"] == "a process on this machine, always on"
    assert called["the visitor's browser"] == "the visitor's own device"
    assert called["RunPod Serverless cpu5c with 2 vCPU"] == "small CPU, sleeps when idle (RunPod)"
    assert any("GPU" in words for words in called.values())
    table = bands_table(now_, doubled)
    assert list(table["what"]) == list(descriptions([forecast.place for forecast in now_]).values())
    assert not bars_table(now_, doubled)["what"].isin(["the visitor's own device"]).any()
    chosen = [
        forecast.model_copy(update={"place": forecast.place.model_copy(update={"chosen": True})}) for forecast in now_[:1]
    ]
    assert list(bands_table(chosen, doubled)["yours"]) == ["what you have"]


@given(st.decimals(0, 10**6, places=2), st.decimals(0, 1, places=2))
def test_a_band_holds_the_amount_and_has_two_digits(usd: Decimal, share: Decimal) -> None:
    forecast = forecasts_of(usd, usd * share)
    figures = [float(part.replace(",", "")) for part in band(forecast).replace("about ", "").replace("$", "").split(" to ")]
    assert all(len(f"{figure:.12f}".replace(".", "").strip("0")) <= 2 for figure in figures)
    assert figures[0] <= max(float(usd) * 1.06, 0.01)
    assert figures[-1] >= float(usd) * 0.94 - 1e-9


def forecasts_of(most: Decimal, least: Decimal) -> PlaceForecast:
    """A month of any place at these amounts."""
    return EXAMPLE.model_copy(update={"usd_per_month": most, "usd_per_month_least": least})


EXAMPLE = forecasts(10)[0]


@pytest.mark.journey  # simulates months
@pytest.mark.parametrize("requests", [1_000, 100_000, 1_000_000])
def test_twice_the_traffic_costs_what_a_long_simulation_says(requests: int) -> None:
    """A short stretch ends with an idle timeout of each worker: scaled to a month, it is many of them."""
    assumed = Assumptions.combine(Measurements(service_ms=20, service_from="x"), Overrides())
    places = list_places(published(), local_price(Settings()), assumed, alternatives())
    exact = forecast_places(Traffic(requests_per_day=2 * requests), places, sample=200_000)
    for forecast, known in zip(twice(Traffic(requests_per_day=requests), places), exact, strict=True):
        assert bool(forecast.problem) == bool(known.problem)
        assert float(forecast.usd_per_month) == pytest.approx(float(known.usd_per_month), rel=0.12, abs=0.05)


def test_two_places_that_are_alike_have_names_of_their_own_and_gpus_their_memory_s_size() -> None:
    places = [forecast.place for forecast in forecasts()]
    texts = descriptions(places)
    assert len(set(texts.values())) == len(places)
    staging, production = (
        option.model_copy(update={"chosen": True, "name": f"{stage}: {option.name}"})
        for stage, option in (("staging", places[2]), ("production", places[2]))
    )
    both = descriptions([staging, production])
    assert {text.partition(": ")[0] for text in both.values()} == {"staging", "production"}
    sized = {
        "AMPERE_16": "small",
        "ADA_48_PRO": "medium",
        "nvidia-t4 x1": "small",
        "nvidia-t4 x4": "large",
        "NVIDIA A40": "medium",
    }
    for hardware, size in sized.items():
        price = places[2].price.model_copy(update={"hardware": hardware})
        assert describe_place(places[2].model_copy(update={"price": price, "name": hardware})).startswith(f"{size} GPU"), (
            hardware
        )
