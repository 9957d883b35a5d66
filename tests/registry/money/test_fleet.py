"""A simulation of scale-to-zero, held against closed forms; forecasts that grow with use and flip where two places cost the same."""

import math
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from registry.amounts import round_usd
from registry.errors import InputError
from registry.money.billing import monthly_cost
from registry.money.fleet import Fleet, simulate
from registry.money.forecast import BreakEven, Disk, Place, advice, find_break_evens, forecast, forecast_place
from registry.money.prices import Price, StoragePrice, Tier
from registry.money.traffic import DAY_S, Traffic

DAYS = 15
TURNS = ((2, "", "a"), (100, "a", "b"), (1_000, "b", "c"), (100_000, "c", ""))


def poisson(per_second: float) -> Traffic:
    return Traffic(requests_per_day=per_second * DAY_S)


def place(name: str = "there", usd: str = "3.60", unit: int = 1, **fleet) -> Place:
    price = Price(
        provider=name, hardware="h", usd_per_hour=Decimal(usd), billed_seconds=unit, as_of=date(2026, 11, 1), source="t"
    )
    return Place(name=name, price=price, fleet=Fleet(**({"service_s": 0.01} | fleet)))


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_worker_that_is_always_on_is_an_m_d_1_queue(load: float) -> None:
    """Pollaczek-Khinchine: the mean wait is load * service / (2 * (1 - load))."""
    fleet = Fleet(min_workers=1, service_s=0.5)
    served = simulate(fleet, poisson(load / 0.5).arrivals(4))
    assert sum(served.waits) / len(served.waits) == pytest.approx(load * 0.5 / (2 * (1 - load)), rel=0.04)
    assert served.spans == []


@pytest.mark.parametrize(("rate", "idle", "cold"), [(0.05, 30.0, 8.0), (0.2, 5.0, 1.0), (0.01, 60.0, 20.0)])
def test_one_worker_that_sleeps_is_an_alternating_renewal_process(rate: float, idle: float, cold: float) -> None:
    """It is up for the start and until a gap exceeds the timeout, (exp(rate * idle) - 1) / rate; asleep for 1 / rate."""
    fleet = Fleet(service_s=1e-9, cold_start_s=cold, idle_s=idle)
    served = simulate(fleet, poisson(rate).arrivals(DAYS))
    up = cold + (math.exp(rate * idle) - 1) / rate
    assert sum(end - start for start, end in served.spans) / (DAYS * DAY_S) == pytest.approx(up / (up + 1 / rate), rel=0.04)
    assert served.cold == len(served.spans) == pytest.approx(DAYS * DAY_S / (up + 1 / rate), rel=0.06)


def test_workers_without_bound_never_wait_but_for_their_start() -> None:
    served = simulate(Fleet(max_workers=500, service_s=3, cold_start_s=2, idle_s=10), poisson(0.5).arrivals(2))
    assert max(served.waits) == pytest.approx(2)
    assert set(served.waits) > {0.0}


def test_a_request_does_not_wait_for_a_start_where_somebody_is_free_sooner() -> None:
    fleet = Fleet(max_workers=2, service_s=1, cold_start_s=10, idle_s=100)
    served = simulate(fleet, [0.0, 9.5, 30.0])
    assert served.waits == [10.0, 1.5, 0.0]
    assert served.cold == 1
    assert sorted(served.spans) == [(0.0, 112.0), (9.5, 131.0)]


def stepped(fleet: Fleet, arrivals: list[int]) -> tuple[list[int], int]:
    """Another way to the same: second by second, a list of workers with what is left to do. Waits and seconds that ran."""
    workers, waits, ran, queue = list[dict](), list[int](), 0, list(arrivals)
    second = 0
    while queue or workers:
        workers = [worker for worker in workers if not (worker["left"] == 0 and worker["idle"] >= fleet.idle_s)]
        while queue and queue[0] == second:
            queue.pop(0)
            free = [worker for worker in workers if worker["left"] == 0]
            if free:
                chosen = min(free, key=lambda worker: worker["idle"])
            else:
                chosen = min(workers, key=lambda worker: worker["left"]) if workers else None
                if len(workers) < fleet.max_workers:
                    workers.append({"left": int(fleet.cold_start_s), "idle": 0})
                    if chosen is None or workers[-1]["left"] < chosen["left"]:
                        chosen = workers[-1]
            waits.append(chosen["left"])
            chosen["left"] += int(fleet.service_s)
            chosen["idle"] = 0
        for worker in workers:
            ran += 1
            worker["idle"] = worker["idle"] + 1 if worker["left"] == 0 else 0
            worker["left"] = max(worker["left"] - 1, 0)
        second += 1
    return waits, ran


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=25),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 8),
)
def test_a_replay_second_by_second_comes_to_the_same(times: list[int], most: int, service: int, cold: int, idle: int) -> None:
    fleet = Fleet(max_workers=most, service_s=service, cold_start_s=cold, idle_s=idle)
    served = simulate(fleet, [float(moment) for moment in sorted(times)])
    waits, ran = stepped(fleet, sorted(times))
    assert served.waits == waits
    assert sum(end - start for start, end in served.spans) == ran


@pytest.mark.parametrize(
    "wrong", [{"min_workers": 3, "max_workers": 2}, {"service_s": 0}, {"idle_s": -1}, {"cold_start_s": math.nan}]
)
def test_a_fleet_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        Fleet(**({"service_s": 1} | wrong))


# Forecasts.


def test_what_is_always_on_costs_its_month_however_much_is_asked() -> None:
    on = place(min_workers=1)
    for requests in (0, 10, 100_000):
        assert forecast_place(Traffic(requests_per_day=requests), on).usd_per_month == monthly_cost(on.price)


def test_nobody_asks_nothing_is_paid_where_all_may_sleep() -> None:
    month = forecast_place(Traffic(requests_per_day=0), place())
    assert (month.usd_per_month, month.usd_per_thousand, month.wait_p95_s) == (0, None, 0)


def test_rare_requests_each_pay_for_their_start_their_second_and_the_idle_timeout() -> None:
    """One a day: 8 s start, 0.01 s work, 5 s idle, rounded up to 14 s."""
    month = forecast_place(Traffic(requests_per_day=1), place(cold_start_s=8, idle_s=5))
    assert month.cold_share == 1
    assert float(month.usd_per_thousand) == pytest.approx(14 * 3.60 / 3600 * 1000, rel=0.3)  # of 28 random requests


@settings(max_examples=25, deadline=None)
@given(st.floats(1, 20_000), st.floats(1.5, 20), st.floats(0, 30), st.floats(1, 300))
def test_more_use_never_costs_less_where_workers_sleep(requests: float, more: float, cold: float, idle: float) -> None:
    there = place(cold_start_s=cold, idle_s=idle)
    low, high = (forecast_place(Traffic(requests_per_day=r), there, sample=2000) for r in (requests, requests * more))
    assert low.usd_per_month >= 0
    assert float(low.usd_per_month) <= float(high.usd_per_month) * 1.25 + 0.05  # random samples


def test_office_hours_cost_less_than_the_same_requests_around_the_clock() -> None:
    there = place(cold_start_s=2, idle_s=60)
    around, office = (forecast_place(Traffic(requests_per_day=3000, hours_per_day=hours), there) for hours in (24, 8))
    assert office.usd_per_month < around.usd_per_month / 2


def test_a_place_that_cannot_keep_up_is_said_and_comes_last() -> None:
    slow, fast = place("slow", "0.01", service_s=1, min_workers=1), place("fast", "9", min_workers=1)
    first, last = forecast(Traffic(requests_per_day=200_000), [slow, fast])
    assert (first.place.name, last.place.name) == ("fast", "slow")
    assert "handles at most 1 requests per second" in last.problem
    with pytest.raises(InputError, match="no place to compare"):
        forecast(Traffic(requests_per_day=1), [])


def test_who_may_not_wait_is_not_advised_to_sleep() -> None:
    traffic, places = Traffic(requests_per_day=20), [place("sleeps", cold_start_s=60), place("stays", min_workers=1)]
    assert forecast(traffic, places)[0].place.name == "sleeps"
    forecasts = forecast(traffic, places, p95_limit_s=1)
    assert forecasts[0].place.name == "stays"
    assert "p95 wait of 60 s is above the limit of 1 s" in forecasts[1].problem


def test_the_cheapest_flips_where_both_cost_the_same() -> None:
    """Without a cold start and with idle timeouts of 10 s, each of few requests pays 11 s: 2,628,000 s of a month are 7,963 a day."""
    sleeps, stays = place("sleeps", "3.6", idle_s=10, max_workers=20), place("stays", "1.8", min_workers=1)
    (turn,) = find_break_evens(Traffic(requests_per_day=1), [sleeps, stays], most=1e5)
    assert (turn.before, turn.after) == ("sleeps", "stays")
    rate = turn.requests_per_day / DAY_S
    share = 1 - 1 / math.exp(rate * 10)  # of one worker's time, by the renewal process with rounding left out
    assert share == pytest.approx(0.5, rel=0.15)
    sentence = advice(Traffic(requests_per_day=10), forecast(Traffic(requests_per_day=10), [sleeps, stays]), [turn])
    assert sentence.startswith("sleeps is the cheapest at 10 requests per day: $")
    assert sentence.endswith(f"; from about {turn.requests_per_day:,.0f} per day on, stays is cheaper.")
    busy = Traffic(requests_per_day=50_000)
    sentence = advice(busy, forecast(busy, [sleeps, stays]), [turn])
    assert sentence.startswith("stays is the cheapest at 50,000 requests per day: $1314.00 per month")
    assert sentence.endswith(f"; below about {turn.requests_per_day:,.0f} per day, sleeps is cheaper.")


def test_the_sentence_names_the_nearest_flip_on_either_side() -> None:
    turns = [BreakEven(requests_per_day=number, before=before, after=other) for number, before, other in TURNS]
    forecasts = forecast(Traffic(requests_per_day=500), [place("b", min_workers=1)])
    sentence = advice(Traffic(requests_per_day=500), forecasts, turns)
    assert sentence.endswith("; below about 100 per day, a is cheaper; from about 1,000 per day on, c is cheaper.")
    late = forecast(Traffic(requests_per_day=50_000), [place("c", min_workers=1)])
    sentence = advice(Traffic(requests_per_day=50_000), late, turns)
    assert sentence.endswith("; below about 1,000 per day, b is cheaper; from about 100,000 per day on, no place keeps up.")
    sentence = advice(Traffic(requests_per_day=5), forecast(Traffic(requests_per_day=5), [place("a", min_workers=1)]), turns)
    assert sentence.endswith("; below about 2 per day, no place qualifies; from about 100 per day on, b is cheaper.")


def test_what_is_not_rented_costs_nothing_keeps_up_and_is_not_what_the_sentence_is_about() -> None:
    browser = place("browser", "0", min_workers=1, service_s=10).model_copy(update={"rented": False})
    stays = place("stays", "1.8", min_workers=1)
    busy = Traffic(requests_per_day=1_000_000)
    first, second = forecast(busy, [stays, browser])
    assert (first.place.name, first.usd_per_month, first.usd_per_thousand, first.problem) == ("browser", 0, 0, "")
    assert advice(busy, [first, second], []).startswith("stays is the cheapest")
    assert find_break_evens(Traffic(requests_per_day=1), [stays, browser], most=1e3) == []
    assert advice(busy, [first], []) == "No place handles 1,000,000 requests per day."


def test_a_price_of_zero_is_a_price() -> None:
    free, dear = place("free", "0", min_workers=1), place("dear", "1", cold_start_s=5)
    for requests in (0, 1, 100_000):
        first = forecast(Traffic(requests_per_day=requests), [dear, free])
        best = next(month for month in first if month.place.name == "free")
        assert (best.usd_per_month, best.usd_per_thousand) == (0, None if requests == 0 else 0)
    assert find_break_evens(Traffic(requests_per_day=1), [free, dear], most=1e3) == []
    sleeps = place("sleeps for nothing", "0", cold_start_s=5)
    assert forecast_place(Traffic(requests_per_day=10), sleeps).usd_per_month == 0


# StoragePrice.


def disk(*, always: bool = False, gigabytes: float = 10) -> Disk:
    tariff = StoragePrice(
        provider="p",
        product="d",
        tiers=[Tier(usd_per_gb_month=Decimal("0.10"))],
        billed_seconds=300,
        as_of=date(2026, 11, 1),
        source="t",
    )
    return Disk(tariff=tariff, gigabytes=gigabytes, always=always)


def test_a_volume_is_paid_all_month_and_a_worker_s_disk_while_it_runs() -> None:
    """Ten gigabytes at ten cents for 720 hours, over a month of 730."""
    month = round_usd(Decimal(730) / 720, 2)
    asleep = place("asleep").model_copy(update={"disks": [disk(), disk(always=True)]})
    nobody = forecast_place(Traffic(requests_per_day=0), asleep)
    assert (nobody.usd_per_month, nobody.storage_usd) == (month, month)
    stays = place("stays", "1", min_workers=1).model_copy(update={"disks": [disk(), disk(always=True)]})
    assert forecast_place(Traffic(requests_per_day=9), stays).storage_usd == round_usd(2 * Decimal(730) / 720, 2)
    assert forecast_place(Traffic(requests_per_day=9), stays).usd_per_month == round_usd(730 + 2 * Decimal(730) / 720, 2)


def test_every_start_pays_its_disk_for_five_minutes() -> None:
    rare = place("rare", "0", cold_start_s=8, idle_s=5).model_copy(update={"disks": [disk()]})
    month = forecast_place(Traffic(requests_per_day=24), rare)
    starts = month.cold_share * 24 * 365 / 12
    assert float(month.storage_usd) == pytest.approx(starts * 10 * 0.10 * 300 / 3600 / 720, abs=0.01)
    assert month.usd_per_month == month.storage_usd


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 5_000), st.floats(0, 100), st.floats(0, 100))
def test_more_storage_never_costs_less(requests: float, size: float, more: float) -> None:
    there, traffic = place(cold_start_s=5, idle_s=30), Traffic(requests_per_day=requests)
    spent = [
        forecast_place(traffic, there.model_copy(update={"disks": [disk(gigabytes=held)]}), sample=500)
        for held in (0, size, size + more)
    ]
    assert [month.storage_usd for month in spent] == sorted(month.storage_usd for month in spent)
    assert spent[0].storage_usd == 0
    bare = forecast_place(traffic, there, sample=500)
    assert all(abs(month.usd_per_month - month.storage_usd - bare.usd_per_month) <= Decimal("0.01") for month in spent)


@given(st.floats(1, 1e5), st.floats(0.5, 24), st.floats(1, 50))
@settings(max_examples=40, deadline=None)
def test_arrivals_are_in_order_within_their_hours_and_as_many_as_told(requests: float, hours: float, burst: float) -> None:
    traffic = Traffic(requests_per_day=requests, hours_per_day=hours, burst=burst)
    days = min(20_000 / requests, 50)
    moments = list(traffic.arrivals(days))
    assert moments == sorted(moments)
    assert all(moment % DAY_S <= hours * 3600 + 1e-6 for moment in moments)
    assert abs(len(moments) - requests * days) <= 6 * math.sqrt(requests * days * 2 * burst) + 6 * burst
