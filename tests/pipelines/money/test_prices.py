"""The price catalogue of a home, refreshed from doubles of both clouds, and forecasts by what was measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))
import clouds

from pipelines.home import Home
from pipelines.money.forecast import CostForecast, ForecastRequest, Overrides
from pipelines.money.prices import prices, refresh
from registry.errors import InputError, NotFoundError
from registry.events import Deployed, Exported
from registry.money.prices import today
from registry.money.traffic import Traffic
from registry.records import Latency
from registry.settings import Settings
from registry.stages import Stage

ADA = ("runpod", "serverless", "ADA_24")
CPU = ("huggingface", "endpoint", "intel-spr x1")


@dataclass
class World:
    runpod: clouds.RunPodWorld
    huggingface: clouds.HuggingFaceWorld
    settings: Settings


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with clouds.runpod_world(tmp_path / "r") as runpod, clouds.huggingface_world(tmp_path / "h") as huggingface:
        variables = {"HF_URL": huggingface.url, "HF_ENDPOINTS_URL": f"{huggingface.url}/ie-api", "HF_TOKEN": "hf_double"}
        for name, value in (variables | {"RUNPOD_URL": runpod.url, "RUNPOD_API_KEY": "rpa_double"}).items():
            monkeypatch.setenv(f"MODELYARD_{name}", value)
        yield World(runpod, huggingface, Settings(home=tmp_path / "home"))


def test_a_refresh_reads_both_catalogues_and_keeps_what_was_published(world: World) -> None:
    done = refresh(world.settings)
    assert done.failed == []
    assert any(line.startswith("RunPod: ") for line in done.said)
    assert "  runpod serverless ADA_24: $1.116 → $1.12 an hour" in done.said
    assert "  huggingface endpoint intel-spr x1: $0.033 → $0.034 an hour" in done.said
    known = prices(world.settings)
    assert known.find(*ADA).price.usd_per_hour == Decimal("1.12")
    assert known.find(*ADA, on=date(2026, 8, 1)).price.usd_per_hour == Decimal("1.116")
    assert known.find(*CPU).price.billed_seconds == 60
    assert known.find("huggingface", "job", "t4-small").price.usd_per_hour == Decimal("0.40002")
    assert known.find("runpod", "serverless", "cpu5c vCPU").price.usd_per_hour == Decimal("0.03")
    assert not known.find(*ADA).stale(today())


def test_a_refresh_that_finds_nothing_new_adds_nothing(world: World) -> None:
    refresh(world.settings)
    before = world.settings.price_catalogue.read_bytes()
    again = refresh(world.settings)
    assert all("0 changed, 0 new" in line for line in again.said)
    assert world.settings.price_catalogue.read_bytes() == before


def test_a_provider_that_refuses_leaves_its_prices_as_they_were(world: World) -> None:
    world.huggingface.double.token = "another"
    done = refresh(world.settings)
    assert len(done.failed) == 1
    assert "Hugging Face" in done.failed[0]
    assert "hf_double" not in done.failed[0]
    assert prices(world.settings).find(*CPU).price.usd_per_hour == Decimal("0.033")
    assert prices(world.settings).find(*ADA).price.usd_per_hour == Decimal("1.12")


def test_nobody_to_ask_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNPOD_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r"no key is set; set RUNPOD_API_KEY or HF_TOKEN"):
        refresh(Settings(home=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.journey
def test_the_command_says_so_and_exits_with_2_and_changes_nothing(modelyard, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "prices.json").write_text("[]")
    done = modelyard("prices", "--home", home)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip().endswith("is not a price catalogue; remove it, then run `modelyard prices --refresh`")
    assert (home / "prices.json").read_text() == "[]"


def forecast_of(settings: Settings) -> CostForecast:
    home = Home(settings)
    return CostForecast(settings, home.ledger, home.store)


def test_a_forecast_says_what_it_rests_on(tmp_path: Path) -> None:
    asked = ForecastRequest(traffic=Traffic(requests_per_day=20), service_ms=5)
    forecast = forecast_of(Settings(home=tmp_path / "home")).forecast(asked)
    assert [cost.usd_per_month for cost in forecast.places] == sorted(cost.usd_per_month for cost in forecast.places)
    assert forecast.service_from == "from --service-ms"
    assert all("per hour" in cost.place.assumed[0] for cost in forecast.places)
    assert forecast.advice.startswith("RunPod Serverless cpu5c with 2 vCPU is the cheapest at 20 requests per day: $")
    assert " per day on, Hugging Face" in forecast.advice
    assert "modelyard space" in forecast.browser
    assert list((tmp_path / "home").glob("*")) == []
    assert any("huggingface endpoint intel-spr x1" in line for line in forecast.stale)


def test_a_forecast_takes_the_latency_that_was_measured(tmp_path: Path) -> None:
    from registry.memory import MemoryLedger, MemoryStore

    store, ledger = MemoryStore(), MemoryLedger()
    version = store.register("hand", {"model.bin": b"weights"})
    costs = CostForecast(Settings(home=tmp_path), lambda: ledger, lambda: store)
    asked = ForecastRequest(traffic=Traffic(requests_per_day=20))
    with pytest.raises(NotFoundError, match=r"latency of hand/1: was not measured yet; run `modelyard export hand/1`"):
        costs.forecast(asked, "hand/1")
    figures = Latency(p50_ms=1.5, p95_ms=2, first_ms=3, requests=200)
    fields = {"model": "hand", "version": 1, "created_ms": version.created_ms, "digest": "0" * 64, "bundle": "b", "path": ""}
    ledger.append(Exported(**fields, megabytes=1, parity=[], latency=figures))
    forecast = costs.forecast(asked, "hand/1")
    assert (forecast.service_ms, forecast.service_from) == (1.5, "measured on this machine, hand/1, median of 200")
    assert forecast.ground.bundle_mb == 1
    assert "(assumed; loading the model took 0.003 s of it here, measured)" in "; ".join(
        rests_of(forecast, "RunPod Serverless")
    )


def rests_of(forecast, name: str) -> list[str]:
    return next(cost.place for cost in forecast.places if cost.place.name.startswith(name)).assumed


def test_a_start_that_was_measured_at_deployment_is_used_and_said_so(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    fields = {"model": "hand", "version": 3, "created_ms": 1, "digest": "0" * 64, "stage": Stage.PRODUCTION, "target": "runpod"}
    fields |= {"url": "u", "bundle": "b", "usd_per_month": Decimal(0), "price_as_of": "2026-11-01", "smoke_images": 8}
    Home(settings).ledger().append(Deployed(**fields, cold_start_s=21.5))
    asked = ForecastRequest(traffic=Traffic(requests_per_day=20), service_ms=5)
    for ref in (None, "hand/3", "other/1"):
        forecast = forecast_of(settings).forecast(asked, ref)
        assert forecast.ground.runpod_cold.seconds == 21.5
        assert "a worker starts in 21.5 s (measured with hand/3 on 20" in "; ".join(rests_of(forecast, "RunPod Serverless"))
    told_by_me = asked.model_copy(update={"told": Overrides(runpod_cold_s=3)})
    assert forecast_of(settings).forecast(told_by_me).ground.runpod_cold.source == "as given"


@pytest.mark.journey
def test_the_forecast_command_gives_machines_the_same(modelyard, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    done = modelyard("forecast", "--requests", "0", "--service-ms", "5", "--json", "--home", tmp_path / "home")
    assert done.returncode == 0, done.stderr
    forecast = json.loads(done.stdout)
    # the browser, and a place that sleeps
    assert [cost["usd_per_month"] for cost in forecast["places"][:2]] == ["0.00", "0.00"]
    assert forecast["places"][0]["usd_per_thousand"] is None
    shown = modelyard("forecast", "--requests", "20", "--service-ms", "5", "--volume-gb", "10", "--home", tmp_path / "home")
    assert " is the cheapest at 20 requests per day: $" in shown.stdout.splitlines()[0]
    assert "a network volume of 10 GB all month, from $0.07 per GB and month" in shown.stdout
    assert "(assumed; measure your own)" in shown.stdout
    assert "Every place is assumed to answer as fast as the machine where this was measured." in shown.stdout
    refused = modelyard("forecast", "--requests", "-1", "--home", tmp_path / "home")
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
