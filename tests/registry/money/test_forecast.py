"""A forecast, whole: which places it compares, what each rests on in words, and what it says where a price is nothing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from registry.errors import InputError, NotFoundError
from registry.money.catalogue import Catalogue, published
from registry.money.comparison import Forecast, Options, compare
from registry.money.places import Assumptions, ColdStart, Measurements, Overrides, list_places
from registry.money.prices import Price, local_price
from registry.money.traffic import Traffic
from registry.settings import Settings
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.plans import alternatives, plan_of, plans_of
from serving.targets.runpod.config import RunPodDeploy
from serving.targets.runpod.quote import catalogue_quote
from serving.targets.runpod.release_spec import endpoint_spec

TODAY = date(2026, 11, 24)
FACTS = Measurements(service_ms=5, service_from="as given")


def local(usd: str = "0.05") -> Price:
    return local_price(Settings(local_usd_per_hour=Decimal(usd)))


def made(
    requests: float = 20, facts: Measurements = FACTS, overrides: Overrides | None = None, usd: str = "0.05", **more
) -> Forecast:
    ground = Assumptions.combine(facts, overrides or Overrides())
    options = Options(local(usd), alternatives())
    return compare(published(), options, Traffic(requests_per_day=requests), ground, today=TODAY, **more)


def rests(result: Forecast, name: str) -> str:
    return "; ".join(next(month.place for month in result.places if month.place.name.startswith(name)).assumed)


def test_the_browser_is_a_row_of_its_own_and_the_sentence_is_about_what_is_rented() -> None:
    result = made()
    assert (result.places[0].place.name, result.places[0].usd_per_month) == ("the visitor's browser", 0)
    assert "it runs on the visitor's device" in rests(result, "the visitor's browser")
    assert "needs a TF.js export" in rests(result, "the visitor's browser")
    assert len(result.places) == 9
    assert result.advice.startswith("RunPod Serverless cpu5c with 2 vCPU is the cheapest at 20 requests per day: $")
    assert "browser" not in result.advice
    assert "needs a TF.js export" in result.browser


def test_every_assumption_is_told_in_words() -> None:
    result = made(overrides=Overrides(max_workers=7))
    for month in result.places:
        assert "per hour, 2026-" in month.place.assumed[0]
    for name in ("RunPod Serverless", "Hugging Face intel-spr x1, asleep"):
        assert "at most 7 workers" in rests(result, name)
        assert "(assumed; measure your own)" in rests(result, name)
    assert "a disk of 5 GB for each worker while it runs, $0.10 per GB and month; no network volume" in rests(
        result, "RunPod pod"
    )
    assert "storage of the repository that holds the bundle is not included" in rests(result, "Hugging Face")
    assert result.assumed[0].startswith("An answer takes 5 ms (as given). Every place is assumed to answer as fast as")


def test_storage_is_in_the_sum_and_said() -> None:
    bare = {month.place.name: month for month in made().places}
    kept = {month.place.name: month for month in made(overrides=Overrides(volume_gb=100)).places}
    volume_usd = Decimal("7.00") * 730 / 720
    for name, month in kept.items():
        more = month.usd_per_month - bare[name].usd_per_month
        assert abs(more - (volume_usd if name.startswith("RunPod") else 0)) <= Decimal("0.01"), name
        assert month.storage_usd <= month.usd_per_month
    assert "a network volume of 100 GB all month, from $0.07 per GB and month" in "; ".join(
        kept["RunPod pod NVIDIA A40"].place.assumed
    )
    assert bare["RunPod pod NVIDIA A40"].storage_usd == Decimal("0.51")  # five gigabytes for 730 hours, at 720 a month


def test_a_bundle_lies_on_the_worker_s_disk() -> None:
    small, huge = (made(facts=FACTS.model_copy(update={"bundle_mb": size})) for size in (12.5, 50_000.0))
    assert " GB for each worker while it runs, with the bundle's 12.5 MB" in rests(small, "RunPod Serverless")
    assert "a disk of 50 GB" in rests(huge, "RunPod Serverless")


def test_a_start_is_told_or_measured_or_assumed_and_says_which() -> None:
    measured = FACTS.model_copy(
        update={"cold": {"runpod": ColdStart(seconds=11.5, source="measured with hand/3 on 2026-11-20")}}
    )
    assert "a worker starts in 11.5 s (measured with hand/3 on 2026-11-20)" in rests(made(facts=measured), "RunPod Serverless")
    assert "a replica wakes in 120 s (assumed; measure your own)" in rests(
        made(facts=measured), "Hugging Face intel-spr x1, asleep"
    )
    overridden = made(facts=measured, overrides=Overrides(runpod_cold_s=2, hf_cold_s=0))
    assert "a worker starts in 2 s (as given)" in rests(overridden, "RunPod Serverless")
    assert "a replica wakes in 0 s (as given)" in rests(overridden, "Hugging Face intel-spr x1, asleep")


def test_an_assumed_start_is_not_shorter_than_loading_the_model_was_here() -> None:
    slow = Assumptions.combine(FACTS.model_copy(update={"first_ms": 20_000}), Overrides())
    assert (slow.runpod_cold.seconds, slow.hf_cold.seconds) == (20, 120)
    quick = Assumptions.combine(FACTS.model_copy(update={"first_ms": 40}), Overrides())
    assert (quick.runpod_cold.seconds, quick.runpod_cold.source) == (
        8,
        "assumed; loading the model took 0.04 s of it here, measured",
    )


@pytest.mark.parametrize("requests", [0, 1, 1e6])
def test_a_machine_that_costs_nothing_is_compared_like_any_other(requests: float) -> None:
    result = made(requests, usd="0")
    mine = next(month for month in result.places if month.place.name == "this machine")
    assert (mine.usd_per_month, mine.usd_per_thousand) == (0, None if not requests else 0)
    if requests:
        assert result.advice.startswith(f"this machine is the cheapest at {requests:,.0f} requests per day: $0.00 per month")
    assert all(turn.before == "this machine" for turn in result.flips[:1])


def test_prices_that_are_all_zero_break_nothing() -> None:
    rows = [
        entry.model_copy(update={"price": entry.price.model_copy(update={"usd_per_hour": Decimal(0)})})
        for entry in published().prices
    ]
    free = Catalogue(prices=rows, storage=published().storage)
    ground = Assumptions.combine(FACTS, Overrides())
    result = compare(free, Options(local("0"), alternatives()), Traffic(requests_per_day=1000), ground, today=TODAY)
    assert all(month.usd_per_month == month.storage_usd for month in result.places)


def test_a_longest_wait_and_more_workers_change_who_will_do() -> None:
    assert any("s is above the limit of 1 s" in month.problem for month in made(p95_limit_s=1).places)
    slow = FACTS.model_copy(update={"service_ms": 1000})
    few, many = (made(250_000, slow, Overrides(max_workers=count)) for count in (2, 20))
    assert "handles at most 2 requests per second" in next(
        month.problem for month in few.places if "AMPERE_16" in month.place.name
    )
    assert any(not month.problem for month in many.places if month.place.name.startswith("RunPod Serverless"))


@pytest.mark.parametrize("service_ms", [0, -1, float("nan"), float("inf")])
def test_an_answer_that_takes_no_time_is_refused(service_ms: float) -> None:
    with pytest.raises(InputError, match="is not a latency"):
        made(facts=Measurements(service_ms=service_ms, service_from="x"))


def test_a_catalogue_without_pods_is_one_line() -> None:
    rows = [entry for entry in published().prices if entry.price.product != "pod"]
    with pytest.raises(NotFoundError, match="price of a runpod pod: is not in the catalogue"):
        list_places(Catalogue(prices=rows, storage=published().storage), local(), Assumptions.combine(FACTS, Overrides()), [])


def test_an_old_price_is_named_and_nothing_is_said_of_the_browser_s() -> None:
    result = made()
    assert any("huggingface endpoint intel-spr x1: 207 days old" in line for line in result.stale)
    assert not any("browser" in line for line in result.stale)


def test_a_plan_is_what_the_target_will_set() -> None:
    """The forecast's workers are those of the request that creates the endpoint: one source, whatever the job says."""
    for mode in ("load_balancer", "queue"):
        config = RunPodDeploy(image="x", bundles="https://b", mode=mode, min_workers=1, max_workers=4, idle_seconds=77)
        spec, plan = endpoint_spec(config, {}, None, None), plan_of(config)
        workers = spec.workers
        assert workers is not None
        assert (plan.min_workers, plan.max_workers, plan.idle_s) == (workers.min, workers.max, workers.idle_timeout)
        assert plan.disk_gb == spec.disk
        rule = spec.as_dict()["scaling"]
        assert (plan.scale_after_s, plan.scale_after_requests) == (rule.get("queueDelay", 0), rule.get("requestCount", 0))


def test_the_job_s_own_deployments_are_compared_beside_the_targets_defaults() -> None:
    deploy = {
        "staging": {"kind": "local"},
        "production": {
            "kind": "runpod",
            "image": "x",
            "bundles": "hf:a/b",
            "pools": ["ADA_80_PRO"],
            "gpus": 3,
            "min_workers": 1,
        },
    }
    plans = plans_of(deploy)
    assert [(plan.name, plan.chosen, plan.units) for plan in plans] == [
        ("production: RunPod Serverless ADA_80_PRO x 3, one kept on", True, 3)
    ]
    result = compare(
        published(), Options(local(), [*plans, *alternatives()]), Traffic(requests_per_day=20),
        Assumptions.combine(FACTS, Overrides()), today=TODAY,
    )  # fmt: skip
    own = next(month for month in result.places if month.place.chosen)
    config = RunPodDeploy.model_validate(deploy["production"], strict=False)
    quote = catalogue_quote(published(), config)
    assert own.usd_per_month >= quote.usd_per_idle_month > 9_000  # three GPUs that never stop
    assert own.place.price.usd_per_hour == quote.usd_per_busy_hour


def test_a_plan_that_is_an_alternative_too_is_one_row() -> None:
    result = compare(
        published(), Options(local(), [plan_of(HuggingFaceDeploy(repository="me/hand")), *alternatives()]),
        Traffic(requests_per_day=20), Assumptions.combine(FACTS, Overrides()), today=TODAY,
    )  # fmt: skip
    assert [month.place.name for month in result.places].count("Hugging Face intel-spr x1, asleep when idle") == 1


def test_what_a_start_costs_is_a_range_where_the_provider_contradicts_itself() -> None:
    months = {month.place.name: month for month in made(2000).places}
    asleep = months["RunPod Serverless AMPERE_16"]
    least = asleep.usd_per_month_least
    assert least is not None
    assert 0 < least < asleep.usd_per_month
    assert "disagree on whether a start is billed" in rests(made(), "RunPod Serverless AMPERE_16")
    assert months["Hugging Face intel-spr x1, asleep when idle"].usd_per_month_least is None
