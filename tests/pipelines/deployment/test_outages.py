"""An account that failed is asked again when its wait is over, once; and an endpoint is broken by several misses over time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.deployment.deploy import Deployer, DeployHook, accounts_of
from pipelines.deployment.health import CLOUD_S, MISSES, REFUSING_S, SLOW_S, HealthWatch
from pipelines.deployment.outages import Account, Outages, read_outages, write_outages
from pipelines.deployment.targets import Targets
from pipelines.job.deploys import LocalDeploy
from registry.backoff import LONGEST_S, wait_s
from registry.errors import (
    DeniedError,
    InputError,
    IntegrityError,
    MissingKeyError,
    RefusedError,
    UnavailableError,
    WaitingError,
)
from registry.events import HookFailed, Promoted, now
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import PromotionContext
from registry.promotion.hooks import run_step
from registry.promotion.state import Holder
from registry.settings import Settings
from registry.stages import Stage
from serving.targets.contract import LiveEndpoint
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.runpod.config import RunPodDeploy

RUNPOD = Account("runpod")
AWAY = UnavailableError("RunPod", "does not answer", "try again later")


class Clock:
    """Seconds that a test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def ask(outages: Outages, error: Exception | None = None, account: Account = RUNPOD) -> None:
    with outages.asking(account):
        if error:
            raise error


@pytest.mark.parametrize(
    ("error", "is_of_account"),
    [
        (AWAY, True),
        (MissingKeyError("RUNPOD_API_KEY", "is not set", "set it"), False),
        (DeniedError("RunPod", "was answered with 401", "set it"), True),
        (RefusedError("RunPod", "was answered with 402", "add credit"), True),
        (UnavailableError("endpoint hand-production", "is not ready", "see its log"), False),
        (UnavailableError("MLflow", "does not answer", "start it"), False),
        (UnavailableError("Hugging Face", "does not answer", "try again later"), False),
        (InputError("RunPod", "was answered with 400", "fix the job"), False),
        (IntegrityError("hand-production", "answers wrongly", "export again"), False),
        (KeyError("ours"), False),
    ],
)
def test_what_every_endpoint_of_an_account_would_meet_stops_asking_it(error: Exception, is_of_account: bool) -> None:
    outages = Outages(Clock())
    with pytest.raises(type(error)):
        ask(outages, error)
    assert [outage.kind for outage in outages.standing()] == (["runpod"] if is_of_account else [])
    if is_of_account:
        with pytest.raises(WaitingError, match="is not asked for another 2 s"):
            ask(outages)
    ask(outages, account=Account("huggingface", "me"))


def test_of_many_models_one_asks_an_account_that_is_down_and_the_wait_grows() -> None:
    clock = Clock()
    outages, asked = Outages(clock), 0
    waits = list[float]()
    for _ in range(14):
        for _model in range(50):
            try:
                with outages.asking(RUNPOD):
                    asked += 1
                    raise AWAY
            except UnavailableError:
                pass
        (outage,) = outages.standing()
        waits.append(wait_s(outage.failures))
        clock.seconds += waits[-1]
    assert asked == 14
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_S
    ask(outages)
    assert outages.standing() == []
    with pytest.raises(UnavailableError):
        ask(outages, AWAY)
    assert outages.standing()[0].failures == 1, "what answered in between begins anew"


def test_a_hook_that_was_not_tried_is_no_failed_attempt(tmp_path: Path) -> None:
    outages, ledger = Outages(Clock()), MemoryLedger()
    context = PromotionContext(MemoryStore(), ledger, FileLeases(tmp_path))
    subject: dict[str, Any] = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d", "stage": Stage.PRODUCTION}
    holder = Holder(Promoted(**subject, previous=None, actor="ada", findings=[]), 0, "ada")
    assert run_step(context, holder, "deploy", lambda: ask(outages, AWAY)) is not None
    for _ in range(3):
        with pytest.raises(WaitingError):
            run_step(context, holder, "deploy", lambda: ask(outages))
    assert [row.event.kind for row in ledger.entries() if isinstance(row.event, HookFailed)] == ["hook_failed"]


def test_what_is_not_asked_is_written_for_other_processes_and_a_damaged_file_says_nothing(tmp_path: Path) -> None:
    outages, path = Outages(Clock()), tmp_path / "home" / "outages.json"
    assert read_outages(path, now()) == []
    with pytest.raises(UnavailableError):
        ask(outages, AWAY)
    write_outages(path, outages.standing())
    assert read_outages(path, now()) == outages.standing()
    assert read_outages(path, now() + timedelta(seconds=3)) == [], "its wait is over"
    assert read_outages(path, now() - timedelta(days=1)) == [], "the clock was set back since"
    for content in (b"", b"[", b"{}", b"[1]", b'[{"kind": 1}]', b"null", b"7", b"\xff", b"[" * 100_000):
        path.write_bytes(content)
        assert read_outages(path, now()) == []
    path.unlink()
    path.mkdir()
    assert read_outages(path, now()) == []


class Endpoint:
    """An endpoint whose health a test sets; `probes` or not."""

    def __init__(self, *, probes: bool) -> None:
        self.health: Any = "live"
        if probes:
            self.probe = lambda _: self.health

    def answers(self, _: LiveEndpoint) -> bool:
        return self.health == "live"


def live(handle: str = "1") -> LiveEndpoint:
    return LiveEndpoint(name="hand", model="hand", version=1, bundle="b", url="http://127.0.0.1:1", handle=handle)


@pytest.mark.parametrize(("health", "seconds"), [("refusing", REFUSING_S), ("slow", SLOW_S)])
def test_an_endpoint_is_broken_by_several_misses_over_a_time(health: str, seconds: float) -> None:
    clock, endpoint = Clock(), Endpoint(probes=True)
    watch = HealthWatch(clock)

    def is_broken() -> bool:
        return watch.is_broken("local", endpoint, live())  # type: ignore[arg-type]

    endpoint.health = health
    assert [is_broken() for _ in range(10)] == [False] * 10, "many at once are one"
    clock.seconds = seconds - 0.1
    assert not is_broken()
    endpoint.health = "live"
    assert not is_broken()
    endpoint.health, clock.seconds = health, 2 * seconds
    assert not is_broken(), "it answered in between"
    clock.seconds = 3 * seconds
    assert [is_broken() for _ in range(MISSES - 1)][-1], "one after a long time is still one of several"
    assert not watch.is_broken("local", endpoint, live("2")), "another process has its own"  # type: ignore[arg-type]
    endpoint.health = "gone"
    assert is_broken()
    assert HealthWatch(clock).is_broken("local", endpoint, live()), "without a process it is broken at once"  # type: ignore[arg-type]


@given(checks=st.lists(st.tuples(st.sampled_from(["live", "refusing", "slow"]), st.floats(0.1, 20)), max_size=40))
def test_no_endpoint_is_broken_that_answered_within_the_time(checks: list[tuple[str, float]]) -> None:
    clock, endpoint, answered = Clock(), Endpoint(probes=True), 0.0
    watch = HealthWatch(clock)
    for health, pause in checks:
        clock.seconds += pause
        endpoint.health = health
        answered = clock.seconds if health == "live" else answered
        if watch.is_broken("local", endpoint, live()):  # type: ignore[arg-type]
            assert clock.seconds - answered >= (SLOW_S if health == "slow" else REFUSING_S)


def test_a_target_that_cannot_tell_slow_from_dead_is_believed_after_several_misses() -> None:
    clock, endpoint = Clock(), Endpoint(probes=False)
    watch, endpoint.health = HealthWatch(clock), "dead"
    broken = list[bool]()
    for _ in range(4):
        broken.append(watch.is_broken("runpod", endpoint, live()))  # type: ignore[arg-type]
        clock.seconds += CLOUD_S / 2 + 1
    assert broken == [False, False, True, True], "a provider says so of workers that are only starting"


def test_the_accounts_that_serve_a_model_are_those_of_its_hooks(tmp_path: Path) -> None:
    deployer: Any = Deployer(*[None] * 6)  # type: ignore[arg-type]
    hub = HuggingFaceDeploy(repository="me/models")
    configs: dict[Stage, Any] = {Stage.STAGING: LocalDeploy(), Stage.PRODUCTION: hub}
    hooks = {stage: (DeployHook(deployer, config),) for stage, config in configs.items()}
    context = PromotionContext(MemoryStore(), MemoryLedger(), FileLeases(tmp_path), hooks=hooks)
    assert accounts_of(context) == (Account("huggingface", "me"), Account("local"))


def test_a_missing_key_and_one_that_is_not_valid_are_denied(tmp_path: Path) -> None:
    targets = Targets(Settings(home=tmp_path))
    builds: list[Callable[[], object]] = [
        lambda: targets.build(RunPodDeploy(image="i", bundles="https://b")),
        lambda: targets.build(HuggingFaceDeploy(repository="me/models")),
        lambda: targets.of_kind("runpod"),
    ]
    for build in builds:
        with pytest.raises(MissingKeyError, match="is not set"):
            build()
