"""A job of several trainers: a typing error in one costs none of them a second, and one that fails costs the others nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet, FrameRow, Manifest
from pipelines.job.jobfile import Job, Split, parse_job
from pipelines.training import job as module
from pipelines.training.job import TrainingJob
from pipelines.training.trainers.build import choose_trainers
from registry.errors import InputError, ModelyardError
from registry.memory import MemoryLedger, MemoryStore
from registry.settings import Settings

TWO = {"model": "hand", "train": [{"kind": "torch", "epochs": 2}, {"kind": "torch", "epochs": 3}, {"kind": "keras"}]}


def test_a_kind_that_is_named_means_every_trainer_of_it() -> None:
    job = parse_job(TWO, "job")
    assert [config.epochs for config in choose_trainers(job, "torch")] == [2, 3]
    assert [config.kind for config in choose_trainers(job, "keras,torch")] == ["keras", "torch", "torch"]
    assert [config.kind for config in choose_trainers(job, "yolo")] == ["yolo"]


def pictures() -> DataSet:
    digest = "0" * 64
    about = {"sha256": digest, "clip": "a", "clip_sha256": digest, "width": 1, "height": 1}
    rows = [
        FrameRow.model_validate({"file": f"{split}/{label}.jpg", "split": split, "label": label, **about})
        for split in ("train", "val")
        for label in ("box", "cup")
    ]
    return DataSet(Path(), Manifest(labels=["box", "cup"], source="images", split=Split(), frames=rows))


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Job], tuple[Any, list[str], list[str]]]:
    """What a job comes to, which trainers began, and what was said; an epoch number of 13 fails."""
    began, lines = list[str](), list[str]()

    def train(*given: Any) -> SimpleNamespace:
        config = given[3].config
        began.append(config.arch)
        if config.epochs == 13:
            raise ModelyardError("training", "went wrong", "lower `lr0`")
        return SimpleNamespace(run_id="1" * 32, model="hand", version=len(began))

    verdict = SimpleNamespace(verdict=lambda digest: SimpleNamespace(dataset=digest))
    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(module, "check_data", lambda *_: verdict)
    monkeypatch.setattr(DatasetCatalog, "add", lambda _, data: data)
    monkeypatch.setattr(DatasetCatalog, "name_of", lambda *_: "hand@1")
    monkeypatch.setattr(TrainingJob, "_describe", lambda *_: None)
    settings = Settings(home=tmp_path / "home")
    catalog = DatasetCatalog(settings.datasets)
    tracker: Any = lambda _: None  # noqa: E731
    job_runner = TrainingJob(settings, MemoryLedger(), MemoryStore, tracker, catalog, lines.append)

    def run(job: Job) -> tuple[Any, list[str], list[str]]:
        try:
            return job_runner.run(job, job.train, pictures(), lambda *_: None), began, lines
        except ModelyardError as error:
            return error, began, lines

    return run


def job_of(*trainers: dict[str, object], **more: object) -> Job:
    return parse_job({"model": "hand", "train": [{"kind": "torch", **fields} for fields in trainers], **more}, "job")


def test_one_that_fails_is_said_and_the_others_are_trained(outcome) -> None:
    done, began, lines = outcome(job_of({"epochs": 1}, {"epochs": 13}, {"epochs": 2}))
    assert [event.version for event in done.events] == [1, 3]
    assert [str(error) for error in done.failures] == ["training: went wrong; lower `lr0`"]
    assert len(began) == 3
    assert "torch: training: went wrong; lower `lr0`" in lines


def test_the_failure_of_the_only_one_is_the_answer_and_not_said_twice(outcome) -> None:
    error, _, lines = outcome(job_of({"epochs": 13}))
    assert str(error).startswith("training: went wrong")
    assert not any("went wrong" in line for line in lines)


def test_where_all_fail_it_is_the_first_failure(outcome) -> None:
    error, began, _ = outcome(job_of({"epochs": 13}, {"epochs": 13}))
    assert str(error).startswith("training: went wrong")
    assert len(began) == 2


@pytest.mark.parametrize(
    "job",
    [
        job_of({"epochs": 1}, {"arch": "nonsuch"}),
        job_of({"epochs": 1}, {"arch": "inception_v3", "imgsz": 32}),
        job_of({"epochs": 1}, search={"space": {"arch": ["small_cnn", "nonsuch"]}}),
    ],
)
def test_an_unknown_architecture_is_refused_before_anything_is_trained(outcome, job: Job) -> None:
    error, began, _ = outcome(job)
    assert isinstance(error, InputError), error
    assert str(error).startswith("arch '")
    assert began == []
