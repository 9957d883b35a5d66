"""On a real local Ray, started once: scoring, training and searching; workers that are killed; the money of all of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from PIL import Image

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Data, Job, parse_job
from pipelines.job.launch_ray import RayLaunch
from pipelines.job.trainers import TorchTrainer
from pipelines.queries.scoring import score as scoring_module
from pipelines.queries.scoring.score import ScoreOptions, Scoring
from pipelines.training.job import TrainingJob
from pipelines.training.launchers import ray_worker
from pipelines.training.launchers.ray import RayTrainer, _AttemptLines
from pipelines.training.launchers.ray_cluster import cluster
from pipelines.training.launchers.runpod import pack_data
from pipelines.training.trainers.contract import Watch
from registry.errors import InputError, ModelyardError, UnavailableError
from registry.events import Trained
from registry.memory import MemoryLedger
from registry.settings import Settings
from registry.spending import TrainingFailed

pytestmark = [pytest.mark.journey, pytest.mark.filterwarnings("ignore")]
CHILD = "pipelines.training.child"
SMALL = {"kind": "torch", "arch": "small_cnn", "epochs": 3, "imgsz": 32, "batch": 8}


def quiet(*_: object) -> None:
    return


@pytest.fixture(scope="module", autouse=True)
def ray_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster of two cores. What is a secret here is none of its processes' business."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    os.environ["MODELYARD_API_KEY"] = "secret of the command"
    with cluster("local", 2) as how:
        del os.environ["MODELYARD_API_KEY"]
        assert how == "started"
        yield


def workers() -> list[psutil.Process]:
    """Ray's workers in which a trainer's child runs."""
    children = [process for process in psutil.process_iter(["cmdline"]) if CHILD in (process.info["cmdline"] or [])]
    mine = {os.getpid()} | {process.pid for process in psutil.Process().children(recursive=True)}
    return [child.parent() for child in children if child.pid in mine and child.parent()]  # type: ignore[misc]


def kill_a_worker() -> psutil.Process:
    """SIGKILL, and the child that it leaves."""
    worker = next(process for process in workers() if process.cmdline()[0].startswith("ray::"))
    child = next(process for process in worker.children() if CHILD in process.cmdline())
    os.kill(worker.pid, signal.SIGKILL)
    return child


def is_gone(process: psutil.Process) -> bool:
    for _ in range(200):
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_no_secret_of_the_command_reaches_rays_processes() -> None:
    import ray

    environment = ray.get(ray.remote(lambda: dict(os.environ)).remote())
    assert not [name for name in environment if name.startswith("MODELYARD_API")]
    assert "secret of the command" not in environment.values()
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"


def test_scoring_by_ray_gives_the_bytes_that_scoring_here_gives(
    make_bundle: Callable[..., object], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    monkeypatch.setattr(scoring_module, "last_bundle", lambda *_: (SimpleNamespace(ref="colours/1"), bundle))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(70):
        Image.new("RGB", (40 + number % 3, 32), ("red", "green", "blue")[number % 3]).save(folder / f"{number:02d}.png")
    (folder / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    paths = [folder, next(clips.rglob("*.mp4"))]
    scoring = Scoring(lambda: None, lambda: None, quiet, quiet)  # type: ignore[arg-type]
    here = scoring.score("colours/1", paths, tmp_path / "here.jsonl", ScoreOptions())
    there = scoring.score("colours/1", paths, tmp_path / "there.jsonl", ScoreOptions(ray="local"))
    assert (tmp_path / "there.jsonl").read_bytes() == (tmp_path / "here.jsonl").read_bytes()
    assert (there.rows, there.unreadable) == (here.rows, here.unreadable)
    assert len(there.unreadable) == 1


@pytest.mark.soak
def test_a_training_whose_worker_is_killed_begins_again_and_each_epoch_is_reported_once(
    dataset: DataSet, tmp_path: Path
) -> None:
    epochs, lines, orphans = list[int](), list[str](), list[psutil.Process]()

    def on_epoch(epoch: int, _: object) -> None:
        epochs.append(epoch)
        if not orphans:
            orphans.append(kill_a_worker())

    config = TorchTrainer.model_validate(SMALL | {"epochs": 12})
    fitted = RayTrainer(config, RayLaunch(address="local"), Path("none")).fit(
        dataset, tmp_path / "work", Watch(on_epoch=on_epoch, say=lines.append)
    )
    assert (fitted.folder / "modelyard.json").is_file()
    assert epochs == list(range(1, 13))
    assert any("its worker was lost; attempt 2 begins" in line for line in lines)
    assert is_gone(orphans[0]), "the child of a worker that is gone ends too"


def test_a_worker_that_is_lost_every_time_is_one_line(dataset: DataSet, tmp_path: Path) -> None:
    config = TorchTrainer.model_validate(SMALL | {"epochs": 200})
    trainer = RayTrainer(config, RayLaunch(address="local", retries=0), Path("none"))
    with pytest.raises(UnavailableError, match="lost this training's worker 1 times"):
        trainer.fit(dataset, tmp_path / "work", Watch(on_epoch=lambda *_: kill_a_worker() if workers() else None))


def test_what_a_trainer_refuses_there_is_its_own_error_and_says_what_went_before(
    dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: object, launch: object, python: Path, data: DataSet, work: Path, watch: Watch) -> None:
        assert {row.split for row in data.manifest.frames} == {"train", "val"}
        data.verify()
        watch.epochs(7)
        watch.choose({"batch": 4})
        raise InputError("arch 'x'", "is not known", "choose another")

    monkeypatch.setattr(ray_worker, "fit_here", refuse)
    archive, job = pack_data(dataset, TorchTrainer(), tmp_path / "data.tar")
    lines, planned = list[str](), list[object]()
    job |= {"launch": {}, "tf_python": "none"}
    assert ray_worker.train_task(job, ray_worker.Shipment.of(archive, "digits"), lines.append) is None
    taken = _AttemptLines(Watch(epochs=planned.append, choose=planned.append))
    for line in lines:
        taken.take(line)
    assert planned == [7, {"batch": 4}]
    with pytest.raises(InputError, match="arch 'x': is not known; choose another"):
        taken.child.result(tmp_path)


class Searched:
    """A search by a job file, against a real MLflow server."""

    def __init__(self, uri: str, clips: Path, home: Path) -> None:
        self.uri, self.clips, self.ledger = uri, clips, MemoryLedger()
        self.settings = Settings(home=home, local_usd_per_hour=Decimal(36))
        self.lines, self.killed = list[str](), list[psutil.Process]()

    def run(self, *, kill: bool = False, **search: object) -> list[Trained]:
        from registry.mlflow.store import MlflowStore
        from registry.mlflow.tracker import Tracker

        class Killing(Tracker):
            """MLflow's client, which kills the worker of the trial whose first epoch it hears of."""

            def begin(this, name: str, tags: dict[str, str]):  # noqa: N805
                log = super().begin(name, tags)
                write = log.metrics

                def metrics(values: dict[str, float], step: int = 0) -> None:
                    if kill and step == 1 and not self.killed:
                        self.killed.append(kill_a_worker())
                    write(values, step)

                log.metrics = metrics  # type: ignore[method-assign]
                return log

        catalog = DatasetCatalog(self.settings.datasets)
        data = catalog.build(Data(clips=self.clips), catalog.folder_of("searched"), quiet)
        job = self.job(**search)
        work = TrainingJob(
            self.settings,
            self.ledger,
            lambda: MlflowStore(self.uri),
            lambda n: Killing(self.uri, n),
            catalog,
            self.lines.append,
        )
        return work.run(job, job.train, data, quiet).events

    def job(self, **search: object) -> Job:
        content = {"model": "searched", "data": {"clips": str(self.clips), "checks": "warn"}, "train": [SMALL]}
        return parse_job(content | {"launch": {"kind": "ray", "address": "local"}, "search": search}, "x")


def test_a_search_whose_worker_is_killed_tries_that_trial_again_registers_the_best_and_books_every_trial(
    mlflow_uri: str, clips: Path, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    world = Searched(mlflow_uri, clips, tmp_path / "home")
    space = {"lr0": {"min": 0.0005, "max": 0.02, "log": True}, "batch": [8, 16], "epochs": {"min": 2, "max": 4}}
    (event,) = world.run(kill=True, trials=2, space=space, parallel=2)
    assert world.killed
    assert any("its worker was lost; attempt 2 begins" in line for line in world.lines)
    trials = [row.event for row in world.ledger.entries() if isinstance(row.event, TrainingFailed)]
    assert len(trials) == 2
    assert all(trial.trial and trial.usd > 0 and trial.reason.startswith("val_top1 ") for trial in trials)
    client = MlflowClient(mlflow_uri)
    best = client.get_run(event.run_id)
    parent = client.get_run(best.data.tags["mlflow.parentRunId"])
    runs = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    scored = [run for run in runs if "modelyard.trial" in run.data.tags]
    assert {run.info.run_id for run in scored} == {trial.run_id for trial in trials}
    assert {run.info.status for run in (*runs, parent)} == {"FINISHED"}
    (winner,) = [run for run in scored if run.data.tags["modelyard.trial"] == parent.data.tags["modelyard.best"]]
    assert winner.data.metrics["score"] == max(run.data.metrics["score"] for run in scored)
    assert {key: best.data.params[key] for key in space} == {key: winner.data.params[key] for key in space}
    assert parent.data.metrics["best_score"] == winner.data.metrics["score"]
    assert float(sum(trial.usd for trial in trials)) == pytest.approx(parent.data.metrics["cost_usd"])
    assert all(len(client.get_metric_history(run.info.run_id, "val_top1")) == run_steps(client, run) for run in scored)
    assert list(world.settings.underway.glob("*")) == []


def run_steps(client: object, run: object) -> int:
    """Of how many epochs MLflow has the score: each once."""
    history = client.get_metric_history(run.info.run_id, "val_top1")  # type: ignore[attr-defined]
    return len({point.step for point in history})


@pytest.mark.soak
def test_trials_on_folds_are_scored_by_the_mean_and_one_that_is_refused_is_booked_as_failed(
    mlflow_uri: str, clips: Path, tmp_path: Path
) -> None:
    world = Searched(mlflow_uri, clips, tmp_path / "home")
    (event,) = world.run(trials=1, folds=2)
    (trial,) = [row.event for row in world.ledger.entries() if isinstance(row.event, TrainingFailed)]
    assert trial.trial
    assert event.run_id != trial.run_id
    with pytest.raises(ModelyardError, match=r"no trial has a score: metric 'val_f1'.*val_top1"):
        world.run(trials=1, metric="val_f1")
    assert len([row for row in world.ledger.entries() if isinstance(row.event, TrainingFailed)]) == 2
    with pytest.raises(InputError, match="too few for 40 folds"):
        world.run(trials=1, folds=40)
