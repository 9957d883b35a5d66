"""Scores in MLflow: a version's own are on its training run, any others in runs of their own, all bound to model and data."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from pipelines.data.build import build_dataset
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.evaluation.evaluate import Evaluator
from pipelines.job.jobfile import Data, Split
from registry.errors import ModelyardError, UnavailableError
from registry.events import Trained, about
from registry.memory import MemoryLedger
from registry.promotion.verdict import digest_version
from registry.records import ModelVersion
from registry.refs import Ref
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess
from serving.export.reference import Reference

pytestmark = pytest.mark.journey  # a real MLflow server


@pytest.fixture
def candidate(clips: Path, tmp_path: Path) -> DataSet:
    """Another data set of the same classes: what a candidate was trained on."""
    return build_dataset(Data(clips=clips, split=Split(seed=7)), tmp_path / "other", lambda *_: None)


class World:
    """A real MLflow server with one version of a model, trained on a data set."""

    def __init__(self, uri: str, data: DataSet, folder: Path) -> None:
        from registry.mlflow.store import MlflowStore
        from registry.mlflow.tracker import Tracker

        self.uri, self.name, self.ledger = uri, f"hand-{uuid4().hex[:8]}", MemoryLedger()
        self.store, self.tracker = MlflowStore(uri), Tracker(uri, self.name)
        info = ModelInfo("torch", "tiny", "torch", data.manifest.labels, Preprocess(size=32), data.manifest.digest)
        prepared = folder / "prepared"
        prepared.mkdir()
        (prepared / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: none\n")
        write_info(prepared, info)
        with self.tracker.run("torch", {}) as run:
            number = run.model(prepared, "torch", self.name)
        self.version = next(version for version in self.store.versions(self.name) if version.version == number)
        self.catalog = DatasetCatalog(folder / "datasets")
        self.catalog.add(data)
        self.evaluator = Evaluator(self.store, self.ledger, self.catalog, lambda _: self.tracker, Path())

    def train(self, data: DataSet) -> None:
        subject = about(self.version, digest_version(self.store, self.version))
        spent = {"seconds": 1, "hardware": "here", "usd": Decimal("0.1"), "price_as_of": "2026-11-23"}
        self.ledger.append(
            Trained(**subject, trainer="torch", run_id=self.version.run_id, dataset=data.manifest.digest, **spent)
        )

    def metrics(self) -> dict[str, float]:
        """What MLflow's page of the training run shows."""
        from mlflow import MlflowClient

        return dict(MlflowClient(self.uri).get_run(self.version.run_id).data.metrics)


@pytest.fixture
def world(mlflow_uri: str, dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    def probabilities(_: Reference, files: list[Path]) -> np.ndarray:
        return np.tile(np.float32([0.9, 0.05, 0.05]), (len(files), 1))  # always the first class

    monkeypatch.setattr(Reference, "probabilities", probabilities)
    made = World(mlflow_uri, dataset, tmp_path)
    made.train(dataset)
    return made


def test_scoring_a_champion_on_other_data_leaves_its_own_figures_on_its_run(
    world: World, dataset: DataSet, candidate: DataSet
) -> None:
    from mlflow import MlflowClient

    assert candidate.manifest.digest != dataset.manifest.digest
    own = world.evaluator.evaluate(Ref(world.name, 1), None, "test").evaluation
    before = world.metrics()
    assert before["test_top1"] == own.metrics["top1"]
    assert (before["test_top1_low"], before["test_top1_high"]) == own.interval
    shown = world.store.description(world.name, 1)
    assert shown.startswith(f"top-1 {own.metrics['top1']:.3f} (")
    assert world.store.description(world.name).startswith("Classifier of 3 classes")
    world.evaluator.evaluate(Ref(world.name, 1), candidate, "test")
    assert world.store.description(world.name, 1) == shown
    world.evaluator.evaluate(Ref(world.name, 1), dataset, "val")
    assert world.metrics() == before
    client = MlflowClient(world.uri)
    kept = {file.path for folder in ("plots", "evaluation") for file in client.list_artifacts(world.version.run_id, folder)}
    pictures = {f"plots/{name}_test.png" for name in ("confusion", "precision_recall", "reliability")}
    assert kept == pictures | {"plots/mistakes_test.jpg", "evaluation/test.json", "evaluation/per_class_test.csv"}
    experiment = client.get_experiment_by_name(f"{world.name} (checks)").experiment_id
    others = client.search_runs([experiment], "tags.`modelyard.kind` = 'evaluation'", order_by=["attributes.start_time"])
    assert [run.data.params["dataset"] for run in others] == [candidate.manifest.digest, dataset.manifest.digest]
    assert [run.data.params["split"] for run in others] == ["test", "val"]
    assert all(run.data.tags["modelyard.training_run"] == world.version.run_id for run in others)
    model = client.get_logged_model(world.version.source.removeprefix("models:/"))
    bound = {(metric.dataset_digest, metric.run_id) for metric in model.metrics if metric.key == "test_top1"}
    assert bound == {
        (dataset.manifest.digest[:36], world.version.run_id),
        (candidate.manifest.digest[:36], others[0].info.run_id),
    }


def test_the_score_of_a_version_that_nobody_saw_trained_is_in_a_run_of_its_own(world: World, dataset: DataSet) -> None:
    evaluator = Evaluator(world.store, MemoryLedger(), world.catalog, lambda _: world.tracker, Path())
    evaluator.evaluate(Ref(world.name, 1), dataset, "test")
    assert "test_top1" not in world.metrics()


def test_a_score_that_cannot_be_shown_is_not_recorded_either(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def resume(self, _: str) -> object:
            raise UnavailableError("MLflow server", "stopped answering", "start it")

    evaluator = Evaluator(world.store, world.ledger, world.catalog, lambda _: Away(), Path())  # type: ignore[arg-type]
    with pytest.raises(ModelyardError, match="stopped answering"):
        evaluator.evaluate(Ref(world.name, 1), None, "test")
    assert [row.event.kind for row in world.ledger.entries()] == ["trained"]


def test_versions_of_other_origin_have_no_logged_model() -> None:
    from registry.mlflow.store import logged_model_id

    assert logged_model_id("models:/m-0123/x") == "m-0123"
    assert logged_model_id("runs:/0123/model") is None
    assert logged_model_id(ModelVersion("hand", 1, 1).source) is None
