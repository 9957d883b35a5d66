"""Work in lanes: what waits for its model holds up no other model's work."""

from __future__ import annotations

import threading

import pytest

from pipelines.services.lanes import Lanes, Task


@pytest.mark.parametrize("waiting_tasks", [1, 3])
def test_a_task_added_to_a_lane_that_waits_for_a_busy_model_starts_at_once(waiting_tasks: int) -> None:
    lanes = Lanes()
    working, finish, started = threading.Event(), threading.Event(), threading.Event()

    def slow() -> list[str]:
        working.set()
        finish.wait(30)
        return ["slow"]

    def other() -> list[str]:
        started.set()
        return ["other"]

    try:
        lanes.submit(Task("slow", "busy", ("cloud",), slow))
        assert working.wait(10)
        for number in range(waiting_tasks):
            lanes.submit(Task(f"waits {number}", "busy", ("local",), lambda: ["waited"]))
        assert lanes.collect(0.2) == []  # by now the lane's thread waits for the model
        lanes.submit(Task("other", "free", ("local",), other))
        assert started.wait(5)
    finally:
        finish.set()
    assert sorted(lanes.collect(10)) == ["other", "slow", *["waited"] * waiting_tasks]
