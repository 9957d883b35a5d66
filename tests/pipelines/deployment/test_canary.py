"""A canary from its promotion to its end, with real endpoints on this machine and no MLflow."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.deployment.canary.state import canary_of
from pipelines.job.jobfile import parse_job
from pipelines.job.policy import set_policy
from pipelines.money.budgets import override
from registry.events import CanaryEnded, CanaryStarted, Trained
from registry.promotion.promote import promote, rollback
from registry.refs import Ref
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from canary_world import ADA, World

pytestmark = pytest.mark.journey


def until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.1)


def begin(world: World, picture: Callable[..., bytes], number: int, before: int) -> None:
    """A promotion that begins as a canary, once its share arrives."""
    world.promote(number)
    assert world.served() == {"colours-production": before, "colours-production-canary": number}
    until(lambda: number in world.ask(picture("red"), 2))
    assert world.once() == []  # too little was asked


def test_a_good_canary_takes_over_and_a_bad_one_goes_back(world: World, picture: Callable[..., bytes]) -> None:
    world.promote(1)
    assert world.served() == {"colours-production": 1}  # nothing to stand beside: no canary
    begin(world, picture, 2, before=1)
    assert sorted(set(world.ask(picture("red"), 50))) == [1, 2]
    until(lambda: bool(world.once()))
    assert world.served() == {"colours-production": 2}
    assert world.ended() == [(2, "promoted")]
    assert world.once() == []
    begin(world, picture, 3, before=2)
    world.ask(picture("red"), 60)
    until(lambda: bool(world.once()))
    assert world.ended() == [(2, "promoted"), (3, "rolled_back")]
    ended = [row.event for row in world.context.ledger.entries("colours") if isinstance(row.event, CanaryEnded)][-1]
    assert "disagrees" in ended.reason
    assert ended.figures["disagreement"] == 1.0
    assert world.context.store.aliases("colours")["production"] == 2
    assert world.served() == {"colours-production": 2}
    assert set(world.ask(picture("red"), 10)) == {2}
    assert world.once() == []


def test_a_canary_is_brought_back_ends_with_its_stage_and_never_delays_going_back(
    world: World, picture: Callable[..., bytes]
) -> None:
    world.promote(1)
    begin(world, picture, 2, before=1)
    target = world.targets.local()
    target.stop_all()  # the machine was started again
    assert world.once()
    assert world.served() == {"colours-production": 1, "colours-production-canary": 2}
    until(lambda: 2 in world.ask(picture("red"), 2))
    rollback(world.context, "colours", Stage.PRODUCTION, 1, ADA)
    assert world.served() == {"colours-production": 1}
    assert canary_of(world.context.ledger.entries("colours"), Stage.PRODUCTION) is None
    begin(world, picture, 2, before=1)
    world.context.store.delete_alias("colours", "production")
    until(lambda: world.once() != [] and world.served() == {})


def test_a_crash_between_the_verdict_and_going_back_is_taken_up(
    world: World, picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.promote(1)
    begin(world, picture, 3, before=1)
    world.ask(picture("red"), 60)
    with monkeypatch.context() as patch:

        def dies(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("pipelines.deployment.canary.settle.rollback", dies)
        with pytest.raises(KeyboardInterrupt):
            until(lambda: bool(world.once()))
    assert world.ended() == [(3, "rolled_back")]
    assert world.context.store.aliases("colours")["production"] == 3
    assert any("finished going back" in line for line in world.once())
    assert world.context.store.aliases("colours")["production"] == 1
    assert world.ended() == [(3, "rolled_back")]
    started = [row.event for row in world.context.ledger.entries("colours") if isinstance(row.event, CanaryStarted)]
    assert json.loads(started[0].model_dump_json())["rules"]["share"] == 0.5


def test_a_spent_budget_brings_nothing_new_and_does_not_keep_the_stage_from_going_back(world: World) -> None:
    world.promote(1)
    set_policy(
        world.context.ledger,
        parse_job({"model": "colours", "train": [{"kind": "torch"}], "budget": {"usd_per_month": 1}}, "job"),
        ADA,
    )
    key = world.context.ledger.entries("colours")[0].event.model_dump(include={"model", "version", "created_ms", "digest"})
    fields = {"seconds": 1.0, "hardware": "local: here", "usd": Decimal(5), "price_as_of": "2026-11-01"}
    world.context.ledger.append(Trained(**key, trainer="torch", run_id="r", dataset="x", **fields))
    promote(world.context, Ref("colours", 2), Stage.STAGING, ADA)
    (failed,) = promote(world.context, Ref("colours", 2), Stage.PRODUCTION, ADA).pending
    assert "budget of colours: is spent: $5.00 of $1.00" in failed.reason
    assert world.served() == {"colours-production": 1}
    world.targets.local().stop_all()
    rollback(world.context, "colours", Stage.PRODUCTION, 1, ADA)
    assert world.served() == {"colours-production": 1}
    override(world.context.ledger, "colours", "once", ADA)
    world.promote(2)
    assert world.served() == {"colours-production": 1, "colours-production-canary": 2}
