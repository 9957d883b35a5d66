"""A trainer of another package: the documentation's own example, and every way in which such a package breaks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Data, Job, parse_job
from pipelines.job.policy import current_policy, set_policy
from pipelines.training.job import TrainingJob
from pipelines.training.trainers.build import build_trainer, choose_trainers
from pipelines.training.trainers.contract import Watch
from registry.errors import InputError, ModelyardError
from registry.memory import MemoryLedger
from registry.records import Actor
from registry.settings import Settings
from serving.bundle.modelinfo import read_info
from serving.export.reference import Reference

PAGE = Path(__file__).parents[3] / "docs/bring-your-own.md"
EXAMPLE = next(block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "class Colours" in block)
JOB = {"model": "hand", "train": [{"kind": "colours", "sharpness": 80}]}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str = EXAMPLE, kind: str = "colours") -> None:
    """A distribution on the path that offers a trainer by its entry point."""
    about = folder / f"{kind}-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / f"their_{kind}.py").write_text(code)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {kind}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[modelyard.trainers]\n{kind} = their_{kind}:Colours\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))  # for the process that trains
    monkeypatch.delitem(__import__("sys").modules, f"their_{kind}", raising=False)


def quiet(*_: object) -> None:
    return


def test_the_pages_example_trains_registers_and_answers(
    clips: Path, tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    from registry.mlflow.store import MlflowStore
    from registry.mlflow.tracker import Tracker
    from registry.refs import Ref

    assert len(EXAMPLE.splitlines()) <= 50
    install(tmp_path / "site", monkeypatch)
    settings, ledger = Settings(home=tmp_path / "home"), MemoryLedger()
    catalog = DatasetCatalog(settings.datasets)
    data = catalog.build(Data(clips=clips), catalog.folder_of("painted"), quiet)
    job = parse_job(JOB | {"model": "painted", "data": {"clips": str(clips), "checks": "warn"}}, "x")
    store = MlflowStore(mlflow_uri)
    work = TrainingJob(settings, ledger, lambda: store, lambda name: Tracker(mlflow_uri, name), catalog, quiet)
    (event,) = work.run(job, choose_trainers(job, "colours"), data, quiet).events
    assert event.trainer == "colours"
    run = MlflowClient(mlflow_uri).get_run(event.run_id)
    assert run.info.status == "FINISHED"
    assert {"kind": "colours", "sharpness": "80.0", "imgsz": "32"}.items() <= run.data.params.items()
    assert "val_top1" in run.data.metrics
    version = next(version for version in store.versions("painted") if version.ref == Ref("painted", 1))
    folder = store.fetch(version, tmp_path / "fetched")
    info = read_info(folder, "painted/1")
    answers = Reference(folder, info, Path()).probabilities(data.files(data.rows("test")))
    assert answers.shape == (len(data.rows("test")), len(data.manifest.labels))


def test_a_job_names_what_a_config_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)
    for entry, message in (
        ({"sharpnes": 3}, "unknown key 'sharpnes'; did you mean 'sharpness'"),
        ({"sharpness": -1}, "greater than 0"),
        ({"imgsz": "big"}, "imgsz: should be a valid integer"),
    ):
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            parse_job(JOB | {"train": [{"kind": "colours"} | entry]}, "modelyard.yaml")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"trainer 'colors': is not installed \(installed: yolo, torch, keras, colours\); did"):
        parse_job(JOB | {"train": [{"kind": "colors"}]}, "modelyard.yaml")
    with pytest.raises(InputError, match="expected one of yolo, torch, keras, colours"):
        choose_trainers(parse_job(JOB, "x"), "tensor")
    (config,) = choose_trainers(parse_job({"model": "hand", "train": [{"kind": "torch"}]}, "x"), "colours")
    assert config.model_dump() == {"kind": "colours", "imgsz": 32, "sharpness": 50.0}


def test_the_schema_knows_an_installed_trainer_and_agrees_with_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jsonschema

    without = Job.model_json_schema()
    assert "colours" not in json.dumps(without)
    jsonschema.validate({"train": [{"kind": "torch"}]}, without)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"train": [{"kind": "torch", "epoch": 3}]}, without)
    install(tmp_path, monkeypatch)
    schema = Job.model_json_schema()
    jsonschema.validate({"train": [{"kind": "colours", "sharpness": 80}, {"kind": "keras"}]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"train": [{"kind": "colours", "sharpness": -1}]}, schema)


def test_a_policy_stays_readable_where_the_package_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = MemoryLedger()
    with monkeypatch.context() as there:
        install(tmp_path, there)
        job = parse_job(JOB, "x")
        set_policy(ledger, job, Actor("ada"))
    policy = current_policy(ledger.entries("hand"))
    assert policy is not None
    assert policy.model_dump(mode="json") == job.model_dump(mode="json")
    with pytest.raises(InputError, match="trainer 'colours': is not installed"):
        build_trainer(policy.train[0], Path())


CHANGES = {
    "raises": ("        import torch  #", "        raise KeyError('x')\n        import torch  #", "failed (KeyError"),
    "leaves": ("        import torch  #", "        raise SystemExit(0)\n        import torch  #", "failed (SystemExit"),
    "returns nothing": ("return Fitted(", "Fitted(", "returned NoneType where Fitted was expected"),
    "another folder": ('Fitted(work / "model", ', 'Fitted(work / "x", ', "left no MLflow model in x/"),
    "no description": ('write_info(work / "model", ', "print(", "hold no modelyard.json"),
    "other labels": ('"labels": labels', '"labels": labels[::-1]', "left a model of the classes"),
    "another data set": ("dataset=data.manifest.digest", 'dataset="0" * 64', "another data set's digest"),
    "another shape": ("softmax(1)", "softmax(1)[:, :2]", "answers (8, 2) where (8, 3)"),
    "no probabilities": (".softmax(1)", "", "are no probabilities"),
    "no numbers": (".softmax(1)", ".sqrt()", "not all numbers"),
    "another layout": ("Preprocess(size=self.config.imgsz)", "Preprocess(size=32, layout='NHWC')", "trainer 'broken'"),
    "a wrong constructor": ("def __init__(self, config):", "def __init__(self):", "failed (TypeError"),
}


@pytest.mark.parametrize("fault", CHANGES)
def test_a_trainer_that_breaks_is_a_line_that_names_it(
    fault: str, dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, message = CHANGES[fault]
    assert old in EXAMPLE
    install(tmp_path / "site", monkeypatch, EXAMPLE.replace(old, new), "broken")
    (config,) = parse_job({"model": "hand", "train": [{"kind": "broken"}]}, "x").train
    with pytest.raises(ModelyardError) as caught:
        build_trainer(config, Path()).fit(dataset, tmp_path, Watch())
    assert "trainer 'broken'" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import a_package_that_is_missing", "a-package-that-is-missing is not installed"),
        ("1 / 0", "cannot be loaded (ZeroDivisionError"),
        ("class Colours:\n    pass", "has no `Config` that is a pydantic model"),
        ("", "cannot be loaded (AttributeError"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_one_line_of_the_job(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, code, "broken")
    with pytest.raises(InputError, match=re.escape(message)):
        parse_job({"model": "hand", "train": [{"kind": "broken"}]}, "modelyard.yaml")
    assert parse_job({"model": "hand", "train": [{"kind": "torch"}]}, "modelyard.yaml").train[0].kind == "torch"


def test_a_run_of_a_trainer_that_breaks_is_booked_as_failed(
    clips: Path, tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    from registry.mlflow.store import MlflowStore
    from registry.mlflow.tracker import Tracker

    old, new, message = CHANGES["no probabilities"]
    install(tmp_path / "site", monkeypatch, EXAMPLE.replace(old, new), "broken")
    settings, ledger = Settings(home=tmp_path / "home"), MemoryLedger()
    catalog = DatasetCatalog(settings.datasets)
    data = catalog.build(Data(clips=clips), catalog.folder_of("unpainted"), quiet)
    job = parse_job({"model": "unpainted", "data": {"clips": str(clips), "checks": "warn"}, "train": [{"kind": "broken"}]}, "x")
    work = TrainingJob(
        settings, ledger, lambda: MlflowStore(mlflow_uri), lambda name: Tracker(mlflow_uri, name), catalog, quiet
    )
    with pytest.raises(ModelyardError, match=message):
        work.run(job, job.train, data, quiet)
    event = ledger.entries()[-1].event
    assert (event.kind, event.trainer) == ("training_failed", "broken")
    assert MlflowClient(mlflow_uri).get_run(event.run_id).info.status == "FAILED"
