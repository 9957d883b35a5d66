"""What a training logs leaves behind its back: in few requests, in order and once, also where the server is slow or hangs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pipelines.training.kept import TrainingFolder, TrainingRecord
from pipelines.training.sender import Sender
from pipelines.training.spool import SpooledRun
from registry.errors import UnavailableError
from registry.records import DataVerdict

Points = list[tuple[str, float, int, int]]


class Server:
    """Takes a run's log; refuses the requests whose numbers it was given, and makes each wait for a gate."""

    run_id = "r1"

    def __init__(self, refuses: frozenset[int] = frozenset()) -> None:
        self.refuses, self.requests, self.steps, self.others = refuses, 0, list[int](), list[str]()
        self.gate = threading.Event()
        self.gate.set()

    def _take(self) -> None:
        self.gate.wait(10)
        self.requests += 1
        if self.requests in self.refuses:
            raise UnavailableError("MLflow server", "stopped answering", "start it")

    def points(self, values: Points) -> None:
        self._take()
        self.steps += [step for name, _, _, step in values if name == "loss"]

    def tags(self, values: dict[str, str]) -> None:
        self._take()
        self.others += [*values, f"after {len(self.steps)}"]

    def rename(self, name: str) -> None:
        self._take()
        self.others.append(name)

    def file(self, path: Path, _: str) -> None:
        self._take()
        self.others.append(path.read_text())


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    verdict = DataVerdict(dataset="x", holds=True, errors=0, warnings=0)
    fields = {"run_id": "r1", "model": "hand", "kind": "torch", "config": {}, "dataset": "d", "folder": "f", "verdict": verdict}
    return TrainingFolder.begin(tmp_path, TrainingRecord.model_validate(fields))


def spooled(server: Server, folder: TrainingFolder) -> SpooledRun:
    return SpooledRun(server, folder, lambda _: None)  # type: ignore[arg-type]


def test_a_server_that_hangs_holds_up_no_epoch_and_gets_them_in_few_requests(folder: TrainingFolder) -> None:
    server = Server()
    server.gate.clear()
    run = spooled(server, folder)
    with run.sending():
        for epoch in range(1, 201):
            run.metrics({"loss": 1 / epoch, "top1": 0.5}, epoch)
        assert server.steps == []
        assert folder.spool.read_text().count("points") == 200  # a process that is killed now loses none
        server.gate.set()
        run.flush()
    assert server.steps == list(range(1, 201))
    assert server.requests <= 3
    assert not folder.spool.exists()


@pytest.mark.parametrize("refused", [(1,), (2,), (1, 2, 3), (2, 4)])
def test_what_a_server_did_not_take_is_sent_again_in_order_and_once(
    refused: tuple[int, ...], folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.training.spool.wait_s", lambda *_, **__: 0.0)
    server = Server(frozenset(refused))
    run = spooled(server, folder)
    with run.sending():
        for epoch in range(1, 8):
            run.metrics({"loss": 1.0}, epoch)
            time.sleep(0.001)  # lets the thread in; nothing depends on it
        run.tags({"price": "1"})
        run.rename("torch small")
        for _ in range(len(refused) + 1):
            try:
                run.flush()
            except UnavailableError:
                continue
            break
    assert server.steps == list(range(1, 8))
    assert server.others == ["price", "after 7", "torch small"]
    assert not folder.spool.exists()


@pytest.mark.parametrize("error", [None, ValueError("x"), KeyboardInterrupt()])
def test_epochs_are_delivered_when_a_training_ends_however_it_ends(error: BaseException | None, folder: TrainingFolder) -> None:
    server = Server()
    run = spooled(server, folder)

    def train() -> None:
        with run.sending():
            for epoch in range(1, 30):
                run.metrics({"loss": 1.0}, epoch)
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            train()
    else:
        train()
    assert server.steps == list(range(1, 30))
    assert "log sender" not in {thread.name for thread in threading.enumerate()}


def test_a_delivery_that_ends_while_a_figure_is_drawn_leaves_it_its_folder(folder: TrainingFolder) -> None:
    server = Server()
    run, deliveries = spooled(server, folder), list[threading.Thread]()

    class Figure:
        @staticmethod
        def savefig(path: Path) -> None:
            deliveries.append(threading.Thread(target=run.flush))
            deliveries[0].start()
            deliveries[0].join(0.3)  # with nothing left to wait for, it is over by then
            path.write_text("drawn")

    run.figure(Figure, "plots/curves.png")  # type: ignore[arg-type]
    deliveries[0].join()
    run.flush()
    assert server.others == ["drawn"]
    assert not (folder.path / "files").exists()


def test_a_slow_server_is_asked_less_often() -> None:
    calls = list[float]()

    def send() -> None:
        calls.append(time.monotonic())
        time.sleep(0.1)  # so the next is due in ten seconds

    sender = Sender(send, every_s=0)
    sender.wake()
    deadline = time.monotonic() + 10
    while not calls and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.15)
    sender.wake()
    time.sleep(0.2)
    assert len(calls) == 1
    began = time.monotonic()
    sender.close()
    assert time.monotonic() - began < 5


def test_no_second_request_within_the_interval() -> None:
    calls = list[int]()
    sender = Sender(lambda: calls.append(1), every_s=3600)
    sender.wake()
    deadline = time.monotonic() + 10
    while not calls and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(50):
        sender.wake()
    sender.close()
    assert calls == [1]
    sender.wake()  # after its end nothing is sent
    assert calls == [1]
