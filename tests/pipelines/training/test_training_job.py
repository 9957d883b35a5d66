"""A whole training against a real MLflow server: paid, finished, and on a data set that stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Data, parse_job
from pipelines.training.job import TrainingJob
from pipelines.training.quotes.estimate import past_timings
from pipelines.training.timing import HERE
from registry.errors import InputError
from registry.memory import MemoryLedger
from registry.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient


def quiet(*_: object) -> None:
    return


def says_what_it_is(client: MlflowClient, run_id: str, digest: str) -> None:
    """A training is alone in its list, and says what it trained, on what, by which code."""
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith("torch small_cnn 64")
    assert {
        "modelyard.version": "1",
        "modelyard.dataset": "paid@1",
        "modelyard.trainer": "torch",
    }.items() <= run.data.tags.items()
    assert run.data.tags["modelyard.release"]
    assert (run.data.params["dataset"], run.data.params["dataset_version"]) == (digest, "paid@1")
    assert {(read.dataset.name, read.dataset.digest) for read in run.inputs.dataset_inputs} == {("paid@1", digest[:36])}
    assert [point.step for point in client.get_metric_history(run_id, "train_loss")] == [1]
    assert [other.info.run_id for other in client.search_runs([run.info.experiment_id])] == [run_id]
    checks = client.get_experiment_by_name("paid (checks)").experiment_id
    (checked,) = client.search_runs([checks])
    assert checked.data.tags["modelyard.kind"] == "data"


def test_a_training_is_paid_and_its_data_set_outlives_other_frames(
    clips: Path, dataset: DataSet, tmp_path: Path, mlflow_uri: str
) -> None:
    from mlflow import MlflowClient

    from registry.mlflow.store import MlflowStore
    from registry.mlflow.tracker import Tracker

    settings, ledger = Settings(home=tmp_path / "home"), MemoryLedger()
    catalog = DatasetCatalog(settings.datasets)
    data = catalog.build(Data(clips=clips), catalog.folder_of("paid"), quiet)
    job = parse_job(
        {
            "model": "paid",
            "data": {"clips": str(clips), "checks": "warn"},
            "train": [{"kind": "torch", "arch": "small_cnn", "imgsz": 64, "epochs": 1}],
        },
        "x",
    )
    work = TrainingJob(
        settings, ledger, lambda: MlflowStore(mlflow_uri), lambda name: Tracker(mlflow_uri, name), catalog, quiet
    )
    (event,) = work.run(job, job.train, data, quiet).events
    assert [row.event.kind for row in ledger.entries()][-2:] == ["trained", "data_checked"]
    says_what_it_is(MlflowClient(mlflow_uri), event.run_id, event.dataset)
    assert event.usd >= 0
    assert event.seconds > 0
    assert event.timing
    assert (event.timing.where, event.timing.planned, event.timing.epochs) == (HERE, 1, 1)
    assert event.timing.fixed_s + event.timing.epoch_s == pytest.approx(event.seconds)
    assert past_timings(ledger.entries())[0].dataset == event.dataset
    assert list(settings.underway.glob("*")) == []
    catalog.build(Data(clips=clips, fps=2), catalog.folder_of("paid"), quiet)
    kept = catalog.find(event.dataset, "paid/1")
    kept.verify()
    assert kept.manifest == dataset.manifest


def test_a_data_set_of_the_other_task_is_refused_before_anything_is_opened(dataset: DataSet, tmp_path: Path) -> None:
    def never(*_: object) -> NoReturn:
        pytest.fail("nothing was to be opened")

    boxed = DataSet(dataset.folder, dataset.manifest.model_copy(update={"task": "detect"}))
    job = parse_job({"model": "paid", "train": [{"kind": "torch"}]}, "x")
    settings = Settings(home=tmp_path / "home")
    work = TrainingJob(settings, MemoryLedger(), never, never, DatasetCatalog(settings.datasets), quiet)
    with pytest.raises(InputError, match=r"data set to detect with, the job's task is classify.*fix `task:`"):
        work.run(job, job.train, boxed, quiet)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_data_set_without_a_split_that_training_needs_is_refused_before_anything_is_opened(
    split: str, dataset: DataSet, tmp_path: Path
) -> None:
    def never(*_: object) -> NoReturn:
        pytest.fail("nothing was to be opened")

    rows = [row for row in dataset.manifest.frames if row.split != split]
    lacking = DataSet(dataset.folder, dataset.manifest.model_copy(update={"frames": rows}))
    job = parse_job({"model": "paid", "train": [{"kind": "torch"}]}, "x")
    settings = Settings(home=tmp_path / "home")
    work = TrainingJob(settings, MemoryLedger(), never, never, DatasetCatalog(settings.datasets), quiet)
    with pytest.raises(InputError, match=f"there is no {split} split; add {split}/, or deal again with .*--resplit"):
        work.run(job, job.train, lacking, quiet)
