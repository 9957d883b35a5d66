"""A model that somebody logged to MLflow: by its flavors, from a folder, a run or a registered version; pickles are refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from foreign_world import LABELS, answers_of, bring, expected, onnx_network, torch_network

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import parse_job
from pipelines.training.foreign.mlflow_model import read_flavor
from pipelines.training.foreign.options import KNOWN, Options
from pipelines.training.register import Registration, World
from registry.errors import InputError, ModelyardError, NotFoundError
from registry.mlflow.package import package_torch
from registry.mlflow.package_onnx import package_onnx
from registry.settings import Settings
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess


def logged(folder: Path, tmp_path: Path, **metadata: object) -> Path:
    """An ONNX classifier as MLflow's flavor keeps it, with what its owner wrote into the metadata."""
    package_onnx(onnx.load(onnx_network(tmp_path / "theirs.onnx", labels=LABELS[::-1])), folder, 32, 3)
    if metadata:
        document = yaml.safe_load((folder / "MLmodel").read_text())
        (folder / "MLmodel").write_text(yaml.safe_dump(document | {"metadata": metadata}))
    return folder


def test_onnx_and_torch_flavors_and_labels_in_the_metadata(painted: DataSet, tmp_path: Path) -> None:
    files = painted.files(painted.rows("test"))
    brought = bring(logged(tmp_path / "onnx", tmp_path, labels=LABELS[::-1]), painted, tmp_path / "one")
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 1e-4
    package_torch(torch_network(KNOWN["-1..1"]), tmp_path / "torch", 32, [(-1, 3)])
    brought = bring(tmp_path / "torch", painted, tmp_path / "two", Options(labels=tuple(LABELS)))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 1e-3
    assert brought.params["normalise"] == "-1..1"


def test_a_model_of_another_home_says_everything_itself(painted: DataSet, tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    package_torch(torch_network(softmax=True), folder, 32, [(-1, 3)])
    info = ModelInfo(
        trainer="torch", arch="tiny", framework="torch", labels=LABELS, preprocess=Preprocess(size=32), dataset="0" * 64
    )
    write_info(folder, info)
    brought = bring(folder, painted, tmp_path / "work")
    assert brought.info.dataset == painted.manifest.digest
    assert (brought.info.arch, brought.params["normalise"], brought.params["outputs"]) == ("tiny", "0..1", "probabilities")
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 1e-4


def test_the_transformers_flavor_is_put_together_again(painted: DataSet, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from test_hugging_face import save

    save(tmp_path / "theirs")
    folder = tmp_path / "logged"
    (folder / "components" / "image_processor").mkdir(parents=True)
    (tmp_path / "theirs").rename(folder / "model")
    (folder / "model" / "preprocessor_config.json").rename(
        folder / "components" / "image_processor" / "preprocessor_config.json"
    )
    flavors = {"transformers": {"task": "image-classification", "model_binary": "model"}, "python_function": {}}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    assert bring(folder, painted, tmp_path / "work").info.arch == "ViTForImageClassification"


REFUSED = {
    "a pickle of torch": ({"pytorch": {"model_data": "data"}, "python_function": {}}, "a pytorch flavor that is a pickle"),
    "scikit-learn": (
        {"sklearn": {}, "python_function": {}},
        "the flavors python_function, sklearn, of which none is a network",
    ),
    "python code": ({"python_function": {"python_model": "python_model.pkl"}}, "the flavors python_function"),
    "a SavedModel": ({"tensorflow": {"data": "data"}}, "a tensorflow flavor that is no .keras file"),
    "another task": ({"transformers": {"task": "fill-mask"}}, "is a transformers pipeline for fill-mask"),
    "a path that leads out": ({"onnx": {"data": "../secret"}}, "names '../secret' as its model, which is not in it"),
    "an absolute path": ({"onnx": {"data": "/etc/passwd"}}, "names '/etc/passwd' as its model"),
    "no flavors": ({}, "of which none is a network"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_flavor_that_is_no_network_of_data_says_why(case: str, tmp_path: Path) -> None:
    flavors, message = REFUSED[case]
    folder = tmp_path / "logged"
    (folder / "data").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    with pytest.raises(InputError, match=re.escape(message)):
        read_flavor(folder, tmp_path, "logged")


@pytest.mark.parametrize("text", ["", "- a", "!!python/object/apply:os.system ['true']", "flavors: 3", "a: &a [*a]"])
def test_an_mlmodel_that_is_none_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(InputError, match="MLmodel"):
        read_flavor(tmp_path, tmp_path, "logged")


def test_a_run_and_a_version_of_the_server_are_registered_with_evidence_to_come(
    painted: DataSet, tmp_path: Path, mlflow_uri: str
) -> None:
    """From somebody's run to a version of ours, which is evaluated; what is not there is one line."""
    import mlflow

    from pipelines.evaluation.evaluate import Evaluator
    from registry.memory import MemoryLedger
    from registry.mlflow.store import MlflowStore
    from registry.mlflow.tracker import Tracker

    mlflow.set_tracking_uri(mlflow_uri)
    mlflow.set_experiment("elsewhere")
    with mlflow.start_run() as run:
        mlflow.log_artifacts(logged(tmp_path / "onnx", tmp_path, labels=LABELS[::-1]), "model")
    version = mlflow.register_model(f"runs:/{run.info.run_id}/model", "theirs")
    settings = Settings(home=tmp_path / "home")
    datasets = DatasetCatalog(settings.datasets)
    store, spoken = MlflowStore(mlflow_uri), list[str]()
    track = lambda name: Tracker(mlflow_uri, name)  # noqa: E731
    world = World.of(settings)
    registration = Registration(lambda: store, track, lambda: mlflow_uri, datasets, world, spoken.append, MemoryLedger)
    job = parse_job({"model": "mine", "train": [{"kind": "torch"}]}, "x")
    for number, source in enumerate((f"runs:/{run.info.run_id}/model", f"models:/theirs/{version.version}"), 1):
        made = registration.register(job, source, painted, Options())
        assert (made.model, made.version) == ("mine", number)
    params = mlflow.get_run(made.run_id).data.params
    assert {"format": "mlflow", "trained": "elsewhere", "outputs": "logits"}.items() <= params.items()
    evaluator = Evaluator(store, MemoryLedger(), datasets, track, settings.tf_python)
    event = evaluator.evaluate(made.ref, None, "test")
    assert event.evaluation.metrics["top1"] == 1.0
    for source in ("runs:/nothing/model", f"runs:/{run.info.run_id}/nothing", "models:/theirs/99", "models:/nobody@production"):
        with pytest.raises(NotFoundError) as caught:
            registration.register(job, source, painted, Options())
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelyardError, match="the job's task is detect"):
        registration.register(job.model_copy(update={"task": "detect"}), str(tmp_path / "onnx"), painted, Options())
    assert [version.version for version in store.versions("mine")] == [1, 2]
