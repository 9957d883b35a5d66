"""An evaluation is recorded when everything that shows it has worked, and can be done again where it has not."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from pipelines.cli.evaluation import show_evaluation
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.evaluation.evaluate import Evaluator
from pipelines.evaluation.robustness import CORRUPTIONS
from registry.errors import InputError, UnavailableError
from registry.memory import MemoryLedger, MemoryStore
from registry.mlflow.package import package_torch
from registry.refs import Ref
from registry.reports.accuracy import run_metrics
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess


class Run:
    """A run that fails at one of its calls."""

    def __init__(self, failing: str) -> None:
        self.failing, self.shown = failing, list[str]()

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> None:
            if name == self.failing:
                raise UnavailableError("MLflow server", "stopped answering", "start it")
            self.shown.append(name)

        return call


@pytest.fixture
def evaluator(dataset: DataSet, tmp_path: Path) -> Evaluator:
    labels = dataset.manifest.labels
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, len(labels)), nn.Softmax(1))
    package_torch(network, tmp_path / "model", 32, [(-1, len(labels))])
    info = ModelInfo("torch", "tiny", "torch", labels, Preprocess(size=32), dataset.manifest.digest)
    write_info(tmp_path / "model", info)
    store = MemoryStore()
    store.register("hand", tmp_path / "model", "r1")
    return Evaluator(store, MemoryLedger(), DatasetCatalog(tmp_path / "datasets"), lambda _: None, Path("python"))


@pytest.mark.parametrize("failing", ["scores", "json", "figure", ""])
def test_the_row_comes_last(failing: str, evaluator: Evaluator, dataset: DataSet) -> None:
    run = Run(failing)
    tracker = SimpleNamespace(run=lambda *_: nullcontext(run))
    object.__setattr__(evaluator, "tracker", lambda _: tracker)
    if failing:
        with pytest.raises(UnavailableError):
            evaluator.evaluate(Ref("hand", 1), dataset, "test")
        assert evaluator.ledger.entries() == []
        run.failing = ""
    evaluator.evaluate(Ref("hand", 1), dataset, "test")
    assert [row.event.kind for row in evaluator.ledger.entries()] == ["scanned", "evaluated"]
    assert {"scores", "json", "figure"} <= set(run.shown)


@pytest.mark.parametrize(
    ("split", "line"),
    [
        ("test", r"there is no test split; add test/, or deal again with `modelyard import DIR --resplit`"),
        ("tset", r"has no 'tset' split; choose one of its own: train, val"),
    ],
)
def test_a_split_that_is_not_there_is_never_offered(split: str, line: str, evaluator: Evaluator, dataset: DataSet) -> None:
    rows = [row for row in dataset.manifest.frames if row.split != "test"]
    lacking = DataSet(dataset.folder, dataset.manifest.model_copy(update={"frames": rows}))
    with pytest.raises(InputError) as refused:
        evaluator.evaluate(Ref("hand", 1), lacking, split)
    assert str(refused.value).endswith(line)
    assert evaluator.ledger.entries() == []


def test_everything_that_is_measured_of_a_classifier_is_recorded_and_can_be_gated(
    evaluator: Evaluator, dataset: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Run("")
    object.__setattr__(evaluator, "tracker", lambda _: SimpleNamespace(run=lambda *_: nullcontext(shown)))
    event = evaluator.evaluate(Ref("hand", 1), dataset, "test")
    assert evaluator.ledger.entries()[-1].event == event
    evaluation = event.evaluation
    assert evaluation.calibration
    assert evaluation.sets
    assert evaluation.robustness
    assert evaluation.calibration.clips == evaluation.sets.clips == len({row.clip for row in dataset.rows("val")})
    assert not evaluation.sets.guaranteed
    assert "9 are needed for 90%" in str(evaluation.sets)
    assert evaluation.robustness.images == len(dataset.rows("test"))
    names = {*CORRUPTIONS, "ece", "ece_scaled", "temperature", "coverage", "set_size", "unsure", "robust_top1", "robust_drop"}
    assert names <= set(evaluation.metrics)
    assert {f"test_{name}" for name in evaluation.metrics} <= set(run_metrics(evaluation))
    for score in evaluation.classes:
        rows = [row for row in dataset.manifest.frames if row.label == score.label]
        assert score.clips == len({row.clip for row in rows if row.split == "test"})
        assert score.train_clips == len({row.clip for row in rows if row.split == "train"})
    show_evaluation(event, "test")
    printed = capsys.readouterr().out
    assert "so this says little" in printed
    for words in ("calibration: ECE", "unsure (more than one class at 90%)", "robustness: top-1", "strongly"):
        assert words in printed


def test_what_is_calibrated_on_is_never_what_is_scored(evaluator: Evaluator, dataset: DataSet) -> None:
    object.__setattr__(evaluator, "tracker", lambda _: SimpleNamespace(run=lambda *_: nullcontext(Run(""))))
    evaluation = evaluator.evaluate(Ref("hand", 1), dataset, "val").evaluation
    assert evaluation.sets is None
    assert evaluation.calibration
    assert evaluation.calibration.temperature is None
    assert "coverage" not in evaluation.metrics


def test_a_champion_is_compared_and_nothing_more(evaluator: Evaluator, dataset: DataSet) -> None:
    object.__setattr__(evaluator, "tracker", lambda _: SimpleNamespace(run=lambda *_: nullcontext(Run(""))))
    evaluation = evaluator.evaluate(Ref("hand", 1), dataset, "test", thorough=False).evaluation
    assert evaluation.outcomes
    assert (evaluation.calibration, evaluation.sets, evaluation.robustness) == (None, None, None)
