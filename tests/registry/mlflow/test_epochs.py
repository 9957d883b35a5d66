"""Epochs reach the server in few requests, in order and once, while nobody waits for it; also where it is away for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from math import isnan

import pytest
from mlflow.entities import Metric

from registry.errors import UnavailableError
from registry.mlflow.epochs import EpochQueue, points


class Server:
    """Takes requests; refuses those whose numbers it was given, and makes each wait for a gate."""

    def __init__(self, refuses: frozenset[int] = frozenset()) -> None:
        self.refuses, self.requests, self.taken = refuses, 0, list[Metric]()
        self.gate = threading.Event()
        self.gate.set()

    def send(self, batch: Sequence[Metric]) -> None:
        self.gate.wait(10)
        self.requests += 1
        if self.requests in self.refuses:
            raise UnavailableError("MLflow server", "stopped answering", "start it")
        self.taken += batch

    def steps(self) -> list[int]:
        return [point.step for point in self.taken if point.key == "loss"]


def test_a_slow_server_holds_up_no_epoch_and_gets_few_requests() -> None:
    server = Server()
    server.gate.clear()
    queue = EpochQueue(server.send, every_s=0)
    began = time.thread_time()
    for epoch in range(1, 301):
        queue.add({"loss": 1 / epoch, "top1": 0.5, "lr": 0.1}, epoch)
    assert time.thread_time() - began < 1.0
    assert server.taken == []
    server.gate.set()
    queue.flush()
    queue.close()
    assert server.steps() == list(range(1, 301))
    assert len(server.taken) == 900
    assert server.requests <= 3  # the first points, and the rest


def test_no_second_request_within_the_interval_unless_flushed() -> None:
    server = Server()
    queue = EpochQueue(server.send, every_s=3600)
    queue.add({"loss": 1.0}, 1)
    deadline = time.monotonic() + 10
    while server.requests < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    for epoch in range(2, 50):
        queue.add({"loss": 1.0}, epoch)
    assert server.requests == 1
    queue.flush()
    queue.close()  # at once, though the next request would be due in an hour
    assert server.requests == 2
    assert server.steps() == list(range(1, 50))


def test_a_slow_server_is_asked_less_often() -> None:
    server = Server()
    server.gate.clear()
    queue = EpochQueue(server.send, every_s=0)
    queue.add({"loss": 1.0}, 1)
    time.sleep(0.1)  # the first request takes so long: the next is due in ten seconds
    server.gate.set()
    deadline = time.monotonic() + 10
    while server.requests < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    queue.add({"loss": 1.0}, 2)
    time.sleep(0.2)
    assert server.steps() == [1]
    queue.flush()
    queue.close()
    assert server.steps() == [1, 2]


@pytest.mark.parametrize("refused", [{1}, {2}, {1, 2, 3}, {2, 4}])
def test_points_that_a_server_did_not_take_are_sent_again_in_order_and_once(refused: set[int]) -> None:
    server = Server(frozenset(refused))
    queue = EpochQueue(server.send, every_s=0)
    for epoch in range(1, 8):
        queue.add({"loss": 1.0}, epoch)
        time.sleep(0.001)  # lets the thread in; nothing depends on it
    for _ in range(len(refused) + 1):
        try:
            queue.flush()
        except UnavailableError:
            continue
        break
    queue.close()
    assert server.steps() == list(range(1, 8))
    assert queue.pending == []


def test_what_never_arrived_stays_for_whoever_keeps_it() -> None:
    queue = EpochQueue(Server(frozenset(range(100))).send, every_s=3600)
    queue.add({"loss": 1.0}, 1)
    queue.add({"loss": 0.5}, 2)
    with pytest.raises(UnavailableError):
        queue.flush()
    queue.close()
    assert [(point.key, point.step, point.value) for point in queue.pending] == [("loss", 1, 1.0), ("loss", 2, 0.5)]


def test_a_bug_in_sending_is_not_swallowed_by_a_flush() -> None:
    def broken(_: Sequence[Metric]) -> None:
        raise KeyError("bug")

    queue = EpochQueue(broken, every_s=3600)
    queue._pending += points({"loss": 1.0}, 1)
    with pytest.raises(KeyError):
        queue.flush()


def test_a_metric_that_mlflow_would_refuse_does_not_hold_up_the_others() -> None:
    made = {point.key: point.value for point in points({"metrics/mAP50(B)": 0.5, "lr/pg0": 0.1, "note": "fine"}, 1)}  # type: ignore[dict-item]
    assert made["metrics/mAP50_B_"] == 0.5
    assert made["lr/pg0"] == 0.1
    assert isnan(made["note"])
