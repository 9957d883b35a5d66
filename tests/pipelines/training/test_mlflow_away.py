"""MLflow fails at any request of a training, or is away from it on: nothing is lost or doubled, order is kept, one version is made.

A real MLflow server behind a proxy that refuses a request, loses its answer, or answers for a server that it does not reach.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent)]
from faulty_proxy import WAYS, Faults, faulty_proxy

from pipelines.training import spool
from pipelines.training.interrupted import book_interrupted, earlier_part
from pipelines.training.resume import check_resumable, find_training, upload_pending
from pipelines.training.train import train
from pipelines.training.trainers.contract import Fitted, Watch
from pipelines.training.training import Kept, Training
from registry.errors import InputError, UnavailableError
from registry.events import Trained
from registry.memory import MemoryLedger
from registry.money.prices import local_price
from registry.records import Actor, DataVerdict, Record
from registry.settings import Settings

EPOCHS = 3
MLMODEL = "flavors:\n  python_function:\n    loader_module: nothing.of.ours\nmodel_uuid: '0'\nutc_time_created: '2026-11-01 00:00:00'\n"


class World:
    """Trainings of three epochs, each of which takes no time, with an MLflow server behind a proxy."""

    def __init__(self, folder: Path, uri: str, faults: Faults, dataset: Any, name: str) -> None:
        from registry.mlflow.store import MlflowStore
        from registry.mlflow.tracker import Tracker

        self.home, self.faults, self.name, self.fits = folder / "home", faults, name, 0
        self.ledger, self.lines = MemoryLedger(), list[str]()
        self.store, self.tracker = MlflowStore(uri), Tracker(uri, name)
        self.model, self._data = folder / "model", dataset
        self.model.mkdir(parents=True)
        (self.model / "MLmodel").write_text(MLMODEL)

    def fit(self, _data: object, _work: Path, watch: Watch) -> Fitted:
        self.fits += 1
        watch.choose({"epochs": EPOCHS})
        for epoch in range(1, EPOCHS + 1):
            watch.on_epoch(epoch, {"train_loss": 1 / epoch, "val_top1": epoch / EPOCHS})
        return Fitted(self.model, self.model)

    def train(self, **kept: Any) -> Trained:
        verdict = DataVerdict(dataset="x", holds=True, errors=0, warnings=0)
        where = Kept(self.home / "underway", self.home / "trainings", patience=30, **kept)
        training = Training(
            self, Record(), "torch", self._data, self.name, local_price(Settings()), Actor("ada"), verdict, where
        )
        return train(self.store, self.ledger, self.tracker, training, Watch(), self.lines.append)

    def next_command(self) -> Trained:
        """What the next commands do: upload, and resume what is not registered."""
        trainings = self.home / "trainings"
        self.lines += book_interrupted(self.home / "underway", self.ledger)
        self.lines += upload_pending(trainings, self.ledger, lambda _: self.tracker, lambda: self.store, self.lines.append)
        ended = [row.event for row in self.ledger.entries() if isinstance(row.event, Trained)]
        if ended:
            return ended[0]
        (run,) = [path.name for path in trainings.iterdir()]
        folder = find_training(trainings, run[:6], self.ledger)
        check_resumable(folder, folder.record, self.name)
        return self.train(resumes=folder, earlier=earlier_part(self.ledger, self.name, run))


@pytest.fixture(scope="module")
def proxy(mlflow_uri: str) -> Iterator[tuple[str, Faults]]:
    with faulty_proxy(mlflow_uri) as both:
        yield both


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client tries once, and nobody waits."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(spool, "sleep", lambda _: None)
    monkeypatch.setattr(spool, "IN_A_THREAD", False)


def assert_whole(world: World, event: Trained, uri: str, moment: str) -> None:
    """MLflow has all of the run, once and in order; the home keeps nothing of it."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    versions = [version for version in client.search_model_versions(f"name='{world.name}'") if version.run_id == event.run_id]
    assert [int(version.version) for version in versions] == [event.version], moment
    run = client.get_run(event.run_id)
    assert run.info.status == "FINISHED", moment
    assert run.data.params["chosen.epochs"] == str(EPOCHS), moment
    assert run.data.tags["modelyard.price"], moment
    for name in ("train_loss", "val_top1"):
        points = client.get_metric_history(event.run_id, name)
        assert [point.step for point in sorted(points, key=lambda point: (point.timestamp, point.step))] == [1, 2, 3], moment
    assert len(run.inputs.dataset_inputs) >= 1, moment
    assert [file.path for file in client.list_artifacts(event.run_id, "plots")] == ["plots/curves.png"], moment
    assert client.list_artifacts(event.run_id, "training"), moment
    assert list((world.home / "trainings").iterdir()) == [], moment
    assert list((world.home / "underway").iterdir()) == [], moment
    rows = [row.event for row in world.ledger.entries() if isinstance(row.event, Trained)]
    assert len(rows) == 1, moment


def requests_of_a_training(tmp_path: Path, dataset: Any, proxy: tuple[str, Faults]) -> int:
    uri, faults = proxy
    world = World(tmp_path / "whole", uri, faults, dataset, "away")
    faults.plan(0, 0, WAYS[0])
    assert_whole(world, world.train(), uri, "nothing fails")
    assert world.lines[-1] == "torch: logging and registering the model"
    return faults.count


@pytest.mark.long
@pytest.mark.parametrize("step", [17, pytest.param(3, marks=pytest.mark.soak)])
def test_whatever_request_fails_the_run_is_whole_and_registered_once(
    tmp_path: Path, dataset: Any, proxy: tuple[str, Faults], step: int
) -> None:
    uri, faults = proxy
    count, starts = requests_of_a_training(tmp_path, dataset, proxy), 0
    for number in range(1 + count % step, count + 1, step):  # each is a whole training; the ways to fail take turns
        way, world = WAYS[number // step % len(WAYS)], World(tmp_path / str(number), uri, faults, dataset, "away")
        faults.plan(number, number, way)
        try:
            event = world.train()
        except UnavailableError:
            faults.plan(0, 0, way)
            if not (world.home / "trainings").exists():
                starts += 1  # without an open run nothing is trained
                assert world.fits == 0
                continue
            event = world.next_command()
        faults.plan(0, 0, way)
        if list((world.home / "trainings").iterdir()):
            event = world.next_command()
        assert world.fits == 1, f"{way} at request {number}: what was trained is not trained again"
        assert_whole(world, event, uri, f"{way} at request {number}")
    assert starts <= 3


@pytest.mark.parametrize("first", [pytest.param(4, marks=pytest.mark.soak), 8, pytest.param(12, marks=pytest.mark.soak)])
def test_a_server_that_stays_away_leaves_the_model_in_the_home_to_be_registered_without_training(
    first: int, tmp_path: Path, dataset: Any, proxy: tuple[str, Faults]
) -> None:
    uri, faults = proxy
    world = World(tmp_path, uri, faults, dataset, "gone")
    faults.plan(first, 10_000, "refused")
    with pytest.raises(UnavailableError, match=r"the trained model waits in .*`modelyard train --resume \w+` registers it"):
        world.train()
    assert sum("what is logged waits in" in line for line in world.lines) == 1, "it is said once"
    (row,) = world.ledger.entries()
    assert row.event.kind == "training_failed"
    assert row.event.seconds > 0 or row.event.usd >= 0
    assert any(
        "what trainings logged waits" in line
        for line in upload_pending(
            world.home / "trainings", world.ledger, lambda _: world.tracker, lambda: world.store, world.lines.append
        )
    )
    faults.plan(0, 0, WAYS[0])
    upload_pending(world.home / "trainings", world.ledger, lambda _: world.tracker, lambda: world.store, world.lines.append)
    shown = world.store.run_tags(row.event.run_id)["mlflow.note.content"]
    assert f"`modelyard train --resume {row.event.run_id}`" in shown, "its page says how it goes on"
    event = world.next_command()
    assert world.fits == 1
    assert event.seconds == row.event.seconds, "registering costs nothing"
    assert_whole(world, event, uri, f"away from request {first} on")
    with pytest.raises(InputError, match=r"has ended well: it is gone/\d"):
        find_training(world.home / "trainings", event.run_id, world.ledger)
