"""Bills are fetched once a day where there is a key; what cost as much as its cap is stopped, and starts with the next month."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[2] / "contracts"), str(Path(__file__).parents[1] / "deployment")]
import clouds
from canary_world import make_world

from pipelines.services.billing import AGAIN_S, CAPS_S, DAY_S, BillingWatch
from pipelines.services.reconciler import Reconciler
from registry.errors import UnavailableError
from registry.events import Deployed, EndpointStopped
from registry.memory import MemoryLedger
from registry.settings import Settings
from registry.stages import Stage
from serving.targets.runpod.config import RunPodDeploy


def settings_of(tmp_path: Path, url: str = "http://127.0.0.1:9", *, key: bool = True) -> Settings:
    fields = {"home": tmp_path / "home", "runpod_url": url, "runpod_api_key": "rpa_double" if key else None, "hf_token": None}
    return Settings.model_validate(fields)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def due(watch: BillingWatch) -> list[str]:
    return [task.name for task in watch.tasks()]


def test_bills_are_due_once_a_day_after_an_hour_where_they_failed_and_never_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, answers = Clock(), [UnavailableError("RunPod", "does not answer", "later"), [], []]

    def fetch(*_: object) -> list[object]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("pipelines.services.billing.fetch_bills", fetch)
    watch = BillingWatch(settings_of(tmp_path), MemoryLedger(), print, clock)
    tasks = {task.name: task for task in watch.tasks()}
    assert list(tasks) == ["bills of RunPod", "caps at RunPod"]
    with pytest.raises(UnavailableError):
        tasks["bills of RunPod"].work()
    assert due(watch) == []
    clock.seconds = CAPS_S
    assert due(watch) == ["caps at RunPod"]
    clock.seconds = AGAIN_S
    for task in watch.tasks():
        if task.name == "bills of RunPod":
            assert task.work() == []
    clock.seconds = AGAIN_S + DAY_S - 1
    assert "bills of RunPod" not in due(watch)
    clock.seconds = AGAIN_S + DAY_S
    assert "bills of RunPod" in due(watch)
    assert due(BillingWatch(settings_of(tmp_path, key=False), MemoryLedger(), print, clock)) == []


@pytest.mark.parametrize("cap", ["0.03", "0.0599", "9"])
def test_no_month_costs_more_than_its_cap_and_what_runs_between_two_looks(make_bundle, tmp_path: Path, cap: str) -> None:
    """Whatever the cap: looked at every fifteen minutes, the bill ends at most one look after it."""
    with clouds.runpod_world(tmp_path / "cloud") as world:
        target = world.target(pools=(), min_workers=0, idle_seconds=3600)
        live = target.deploy("hand-production", make_bundle(tmp_path / "one"), clouds.passes)
        ledger = MemoryLedger()
        fields = {"model": "hand", "version": 1, "created_ms": 1, "digest": "0" * 64, "stage": Stage.PRODUCTION}
        fields |= {"target": "runpod", "url": live.url, "bundle": live.bundle, "usd_per_month": 0, "price_as_of": "x"}
        ledger.append(Deployed.model_validate(fields | {"smoke_images": 1, "max_usd_per_month": cap}, strict=False))
        watch = BillingWatch(settings_of(tmp_path, world.url), ledger, print, at=world.today)
        for _ in range(8):
            world.clock.advance(CAPS_S)
            watch.keep_caps()
        (endpoint,) = world.double.cloud.endpoints.values()
        stopped = [row.event for row in ledger.entries() if isinstance(row.event, EndpointStopped)]
        reaches = Decimal(cap) < 1
        assert len(stopped) == reaches, "once, and no row for each look"
        assert (endpoint.spec["workers"]["max"] == 0) is reaches
        look = 0.06 * CAPS_S / 3600
        assert world.double.cloud.spent() <= (float(cap) + look + 0.001 if reaches else 9)


def test_the_reconciler_stops_it_leaves_it_stopped_and_starts_it_with_the_next_month(
    make_bundle, picture: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clouds.runpod_world(tmp_path / "cloud") as runpod:
        monkeypatch.setenv("MODELYARD_RUNPOD_URL", runpod.url)
        monkeypatch.setenv("RUNPOD_API_KEY", "rpa_double")
        monkeypatch.setattr("pipelines.deployment.health.now", runpod.today)
        fields = {"idle_seconds": 3600, "max_usd_per_month": 0.05, "smoke_images": 1}
        config = RunPodDeploy(image=clouds.IMAGE, bundles="https://bundles.invalid", **fields)
        made = make_world(make_bundle, picture, tmp_path, config)
        made.targets.runpod.append(runpod.target(pools=(), **fields))
        reconciler = Reconciler(made.parts)
        reconciler._billing.at, clock = runpod.today, Clock()
        deployer = made.context.hooks[Stage.PRODUCTION][0].deployer
        reconciler._billing.clock = deployer.watch.clock = clock

        def once() -> list[str]:
            clock.seconds += CAPS_S
            deployer.healthy_at.clear()
            return reconciler.once().acted

        made.promote(1)
        assert not any("stopped" in line for line in once())
        runpod.clock.advance(3600)
        assert any("colours/1 at production on runpod stopped: " in line for line in once())
        (endpoint,) = runpod.double.cloud.endpoints.values()
        assert endpoint.spec["workers"]["max"] == 0
        assert once() == once() == []
        assert endpoint.spec["workers"]["max"] == 0
        spent = runpod.double.cloud.spent()
        runpod.clock.advance(timedelta(days=30).total_seconds())
        assert runpod.double.cloud.spent() == spent
        for _ in range(3):  # misses in a row, as of any endpoint that does not answer
            once()
        assert endpoint.spec["workers"]["max"] == 2
