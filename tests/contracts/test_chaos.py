"""Deployments at random faults: each ends in a stated outcome, nothing is left behind, and no bill depends on this machine."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from chaos import RATES, Books, Chaos
from clouds import fails, passes

from registry.errors import NotFoundError, RefusedError
from serving.fakes.clock import begun
from serving.fakes.runpod.paging import Paging
from serving.fakes.runpod.state import Cloud, Endpoint, Worker

QUOTA = 19
"""Workers of the account, for twenty names of one worker each and their trials: all but full."""
SMALL = {"pools": ("AMPERE_16", "AMPERE_24"), "start_seconds": 60, "idle_seconds": 5, "max_workers": 1}


def five_bundles(make_bundle, folder: Path) -> list:
    return [make_bundle(folder / str(n), version=n, gain=20.0 + n) for n in range(1, 6)]


def runpod_books(cloud: Cloud, now: Callable[[], float]) -> Books:
    def standing(name: str) -> list[Endpoint]:
        return [e for e in cloud.endpoints.values() if e.spec["name"].startswith(f"modelyard-{name}")]

    def ever(name: str) -> list[Endpoint]:
        return standing(name) + [e for e in cloud.deleted if e.spec["name"].startswith(f"modelyard-{name}")]

    def serves(name: str) -> str | None:
        bundles = [e.spec["env"]["MODELYARD_BUNDLE"] for e in standing(name) if not e.spec["name"].endswith("-next")]
        return bundles[0] if bundles else None

    def billed(name: str) -> float:
        return sum(endpoint.billed(now()) for endpoint in standing(name))

    def bills(name: str) -> dict[str, float]:
        return {endpoint.id: endpoint.billed(now()) for endpoint in ever(name)}

    def work(name: str) -> object:
        return {worker.id: worker.used for endpoint in ever(name) for worker in endpoint.workers}

    return Books(serves, billed, bills, work)


def runpod_chaos(world: clouds.RunPodWorld, bundles: list, mode: str, cap: float, quota: int = QUOTA) -> Chaos:
    for bundle in bundles:
        world.shelf.put(bundle)
    world.double.faults.rates = RATES | {"no-capacity": 0.02, "stale": 0.03, "wobbly": 0.02}
    world.double.cloud.quota, world.double.control.paging = quota, Paging(most=10, strangers=2)
    target = world.target(**SMALL, mode=mode, max_usd_per_month=cap)
    return Chaos(target, bundles, runpod_books(world.double.cloud, world.clock.now), cap)


@pytest.mark.journey
@pytest.mark.parametrize(
    "plan",
    [pytest.param(("load_balancer", 1000, 0.009), marks=pytest.mark.soak), ("queue", 400, 0.006)],
    ids=["load balancer", "queue"],
)
def test_a_thousand_deployments_on_runpod(make_bundle, picture, tmp_path: Path, plan: tuple[str, int, float]) -> None:
    """None is deployed over the cap, and what an endpoint cost beyond it is no more than the one deployment before."""
    mode, count, cap = plan
    with clouds.runpod_world(tmp_path / "cloud") as world:
        cloud, chaos = world.double.cloud, runpod_chaos(world, five_bundles(make_bundle, tmp_path), mode, cap)
        # a queue's health wakes nobody: what is tried out there is asked
        chaos.run(count, passes if mode == "load_balancer" else lambda ask: ask(picture("red")), fails)
        world.double.faults.calm()
        chaos.check(world.leaks(), most_torn=10)
        assert sum(chaos.ends.values()) == count
        assert chaos.ends["deployed"] > count * 0.4
        assert chaos.ends["over the cap"] > 0
        every = [*cloud.endpoints.values(), *cloud.deleted]
        assert max(endpoint.billed(world.clock.now()) for endpoint in every) <= cap + chaos.dearest + 1e-12
        left = [name.removeprefix("modelyard-").removesuffix("-next") for name in world.names()]
        world.double.cloud.quota = 2 * QUOTA
        capped, chaos.target = chaos.target, world.target(**SMALL, mode=mode)
        chaos.repair(left, passes)
        assert world.leaks() == []
        assert {live.name for live in capped.list()} <= set(chaos.meant)
        for live in capped.list():
            capped.delete(live.name)
        assert cloud.endpoints == {}
        with pytest.raises(NotFoundError):
            capped.logs("model01", 1)
        assert world.today() < clouds.START + timedelta(days=28), "another month begins, and with it another cap"


@pytest.mark.journey
def test_an_account_whose_workers_are_all_taken_refuses_and_keeps_what_it_has(make_bundle, tmp_path: Path) -> None:
    with clouds.runpod_world(tmp_path / "cloud") as world:
        chaos = runpod_chaos(world, five_bundles(make_bundle, tmp_path), "load_balancer", 1000.0, quota=12)
        chaos.run(200, passes, fails)
        world.double.faults.calm()
        chaos.check(world.leaks(), most_torn=10)
        assert chaos.quota > 20
        assert chaos.ends["deployed"] > 20
        assert sum(endpoint.spec["workers"]["max"] for endpoint in world.double.cloud.endpoints.values()) <= 12
        for name in sorted(f"model{number:02d}" for number in range(20)):
            chaos.target.delete(name)
        assert world.double.cloud.endpoints == {}


@pytest.mark.journey
@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.soak)])
def test_a_thousand_deployments_on_hugging_face(
    make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """At the Hub and at the endpoints. The library's own waiting is the double's clock too."""
    with clouds.huggingface_world(tmp_path / "cloud") as world:
        monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=world.clock.advance))
        account, target = world.double.account, world.target(start_seconds=300, max_usd_per_month=1)
        bundles = five_bundles(make_bundle, tmp_path)

        def serves(name: str) -> str | None:
            endpoint = account.endpoints.get(f"my-{name}")
            return endpoint.spec["model"]["revision"] if endpoint else None

        world.double.faults.rates = RATES | {"unhealthy": 0.03, "stuck": 0.01}
        chaos = Chaos(target, bundles, Books(serves))  # Hugging Face shows no bill
        chaos.run(count, passes, fails)
        world.double.faults.calm()
        chaos.check(world.leaks(), most_torn=30)
        assert sum(chaos.ends.values()) == count
        assert chaos.ends["deployed"] > count / 2
        chaos.repair([name.removeprefix("my-").removesuffix("-next") for name in account.endpoints], passes)
        assert world.leaks() == []
        assert {live.name for live in target.list()} <= set(chaos.meant)
        kept_on = world.target(min_replicas=1, max_usd_per_month=1)
        with pytest.raises(RefusedError, match="for replicas that never stop is over the"):
            kept_on.deploy("model01", bundles[0], passes)
        every, now = [*account.endpoints.values(), *account.deleted], world.clock.now()
        spans = [span for endpoint in every for span in endpoint.spans]
        minutes = sum(math.ceil(round((span.ended or now) - span.began, 3) / 60) for span in spans)
        assert account.spent() == pytest.approx(float(target.quote().usd_per_busy_hour) / 60 * minutes)


@pytest.mark.journey  # boots that are really slowed
def test_a_slow_machine_sees_the_same_outcomes_and_the_same_bills(
    make_bundle, picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever starting a worker and answering a request really take."""
    bundles, seen = five_bundles(make_bundle, tmp_path), []
    for number, nap_s in enumerate((0.0, 0.02)):
        with clouds.runpod_world(tmp_path / f"cloud{number}") as world:
            boot = world.double.cloud.boot
            world.double.cloud.boot = lambda env, boot=boot, nap_s=nap_s: (time.sleep(nap_s), boot(env))[1]
            monkeypatch.setattr(time, "time", lambda now=number * 1e6 + 0.1: now)
            chaos = runpod_chaos(world, bundles, "queue", 0.004)
            chaos.run(60, lambda ask: ask(picture("red")), fails)
            seen.append((dict(chaos.ends), world.clock.now(), world.double.cloud.spent(), chaos.dearest, world.names()))
    assert seen[0] == seen[1]
    assert seen[0][0]["over the cap"] > 0


@pytest.mark.parametrize(
    ("start", "pauses"),
    [
        (1_800_000_000.0, (2.4, 2.2, 0.9, 1.6, 0.9)),
        (1_800_000_000.1, (1.4, 2.7, 2.2, 2.5, 2.2)),
        (1_763_000_000.3, (0.9, 0.9, 1.4, 1.0, 2.8)),
    ],
)
def test_a_bill_does_not_depend_on_the_time_of_day(start: float, pauses: tuple[float, ...]) -> None:
    """Seconds since 1970 are so large that their differences are off by some 1e-7: no second that was begun."""
    ended = start
    for pause in pauses:
        ended += pause
    endpoint = Endpoint("e", {}, start, usd_per_second=0.58 / 3600)
    endpoint.workers.append(Worker("w", 1, "image", start, start, ended=ended))
    assert endpoint.billed(ended) == round(sum(pauses)) * endpoint.usd_per_second
    assert begun(ended - start, round(sum(pauses))) == 1
