"""One model's trouble is its own: whatever fails for some models, all others come to their end in the same pass."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import InputError, RefusedError, UnavailableError
from registry.events import Evaluated, about
from registry.lease import FileLeases
from registry.records import Evaluation

sys.path.insert(0, str(Path(__file__).parent))
from troubled_world import CALLS, FOREIGN, OURS, Faults, held, make_world

from pipelines.services.lanes import Lanes, Task

MODELS = 5
EXAMPLES = 200 if settings.get_current_profile_name() == "soak" else 12
FAULTS = st.dictionaries(
    st.tuples(st.sampled_from([f"m{number}" for number in range(MODELS)]), st.sampled_from(CALLS)),
    st.sampled_from([*OURS, *FOREIGN]),
    max_size=8,
)


@settings(max_examples=EXAMPLES)
@given(faults=FAULTS)
def test_whatever_fails_for_some_models_all_others_are_settled_by_the_same_pass(
    tmp_path_factory: pytest.TempPathFactory, faults: Faults
) -> None:
    world = make_world(tmp_path_factory.mktemp("world"), MODELS)
    world.faults.update(faults)
    troubled = {model for model, _ in faults}
    world.reconciler.once()
    for model in world.models:
        assert model in troubled or world.is_settled(model), model
        assert model in troubled or f"{model}-staging" not in world.machine.endpoints, model
    assert not world.leases.waited, "a pass waits for no lease"
    world.faults.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.promotion.due.wait_is_over", lambda *_: True)
        for _ in range(2):
            world.reconciler.once()
    judged = {model for (model, _), kind in faults.items() if kind in {InputError, RefusedError}}  # blocked until news of it
    assert all(world.is_settled(model) or model in judged for model in world.models), "and the rest when the trouble is over"
    assert world.machine.endpoints == {}


@pytest.mark.parametrize("kind", [*OURS, *FOREIGN])
@pytest.mark.parametrize("call", CALLS)
def test_each_fault_of_one_model_alone(tmp_path: Path, call: str, kind: type[Exception]) -> None:
    world = make_world(tmp_path, 3)
    world.faults["m0", call] = kind
    world.reconciler.once()
    assert [world.is_settled(model) for model in ("m1", "m2")] == [True, True]


def test_leases_that_other_processes_hold_are_passed_over(tmp_path: Path) -> None:
    world = make_world(tmp_path, 4)
    with held(FileLeases(tmp_path / "leases"), "m0", "m1/alias"):
        world.reconciler.once()
    assert [world.is_settled(model) for model in world.models[2:]] == [True, True]
    assert "m0-staging" in world.machine.endpoints
    assert "m1-staging" not in world.machine.endpoints
    world.reconciler.once()
    assert all(world.is_settled(model) for model in world.models)


@pytest.mark.parametrize("kind", [UnavailableError, KeyError])
def test_endpoints_without_a_version_are_retired_while_mlflow_is_away(
    tmp_path: Path, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path, 2)

    def away() -> None:
        raise kind("MLflow", "does not answer", "start it")

    monkeypatch.setattr(world.store, "snapshot", away)
    with pytest.raises(kind):
        world.reconciler.once()
    assert world.machine.endpoints == {}
    assert "m0-staging retired: no version holds its stage" in world.lines


@pytest.mark.parametrize("step", ["settle", "overdue", "publish_pending", "book_interrupted", "write_outages"])
def test_a_step_of_a_pass_that_fails_keeps_none_of_the_others(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path, 2)

    def fails(*_: object) -> None:
        raise KeyError("somebody's code")

    parts = world.reconciler.parts
    where = {"settle": type(parts.settler), "overdue": type(parts.retirer)}.get(step)
    if where:
        monkeypatch.setattr(where, step, fails)
    else:
        monkeypatch.setattr(f"pipelines.services.reconciler.{step}", fails)
    world.reconciler.once()
    assert all(world.is_settled(model) for model in world.models)


def test_a_lane_that_stands_still_holds_up_no_other_and_is_given_nothing_twice() -> None:
    lanes, free, began = Lanes(), threading.Event(), threading.Event()
    ran = list[str]()

    def stands_still() -> list[str]:
        ran.append("slow")
        began.set()
        free.wait(60)
        return ["slow is up to date"]

    def rolls_back() -> list[str]:
        ran.append("quick")
        return ["quick is back"]

    lanes.submit(Task("slow", "slow", ("runpod",), stands_still))
    assert began.wait(60)
    lanes.submit(Task("slow", "slow", ("runpod",), stands_still))
    lanes.submit(Task("quick", "quick", ("local",), rolls_back))
    lines, deadline = list[str](), time.monotonic() + 60
    while not lines and time.monotonic() < deadline:
        lines = lanes.collect(0.02)
    assert lines == ["quick is back"]
    free.set()
    assert lanes.collect() == ["slow is up to date"]
    assert ran == ["slow", "quick"]
    assert lanes.collect() == []


def test_two_lanes_never_work_on_one_model_at_once() -> None:
    lanes, at_once, most = Lanes(), list[int](), list[int]()

    def work() -> list[str]:
        at_once.append(1)
        most.append(len(at_once))
        threading.Event().wait(0.01)
        at_once.pop()
        return []

    for number in range(8):
        lanes.submit(Task(f"work {number}", "hand", (number % 4,), work))
    lanes.collect()
    assert most == [1] * 8


def test_within_a_lane_one_comes_after_the_other_whatever_the_first_does() -> None:
    lanes, order = Lanes(), list[int]()

    def work(number: int) -> list[str]:
        order.append(number)
        raise (KeyError if number % 2 else SystemExit)(number)

    for number in range(6):
        lanes.submit(Task(f"m{number}", f"m{number}", ("local",), lambda number=number: work(number)))
    lines = lanes.collect()
    assert order == list(range(6))
    assert [line.partition(" ")[0] for line in lines] == [f"m{number}" for number in range(6)]


def test_what_was_decided_elsewhere_is_described_in_mlflow_by_the_next_pass_and_nothing_else(tmp_path: Path) -> None:
    world = make_world(tmp_path, 2)
    world.reconciler.once()
    assert [world.store.description(model) for model in world.models] == ["", ""]
    scored = Evaluation(
        dataset="d", split="test", images=9, clips=3, metrics={"top1": 0.9}, interval=(0.8, 1.0), classes=[], confusion=[]
    )
    version = world.store.versions("m0")[0]
    world.ledger.append(Evaluated(**about(version, "d" * 64), evaluation=scored))
    world.reconciler.once()
    assert world.store.description("m0", 1).startswith("top-1 0.900 (0.800 to 1.000)")
    assert [bool(world.store.description(model)) for model in world.models] == [True, False]
    world.store.describe("m0", "Mine.", 1)
    world.ledger.append(Evaluated(**about(version, "d" * 64), evaluation=scored))
    world.reconciler.once()
    assert world.store.description("m0", 1) == "Mine."
