"""MLflow's part of an old home, made with stock MLflow: runs, registered versions, aliases, tags and a webhook.

Names, tags and the layout of the artifacts are those that commit 861f1d7 gave them. MLflow writes to `mlflow.db` itself, as
its server would; artifacts lie where the server's `--artifacts-destination HOME/artifacts` puts them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

FERNET = "b2xkIGhvbWUncyBrZXksIDMyIGJ5dGVzIGxvbmchISE="
os.environ["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"] = FERNET  # read once, while MLflow is imported
os.environ["MLFLOW_WEBHOOK_ALLOWED_SCHEMES"] = "http,https"
os.environ["MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS"] = "true"

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Param
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from old_events import LABELS, METRICS, SPENT, TORCH, Version
from old_ledger import digest_of, sha256, write_json

WEIGHTS = "the weights of version {number} would be here\n"
MLMODEL = """artifact_path: mlflow-artifacts:/1/models/{model_id}/artifacts
flavors:
  python_function:
    config:
      device: null
    data: data
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.pytorch
    pickle_module_name: mlflow.pytorch.pickle_module
    python_version: 3.11.7
  pytorch:
    code: null
    model_data: data
    pytorch_version: 2.14.1+cu130
is_signature_from_type_hint: false
mlflow_version: 3.17.2
model_id: {model_id}
model_uuid: {model_id}
prompts: null
run_id: {run_id}
saved_input_example_info:
  artifact_path: input_example.json
  serving_input_path: serving_input_example.json
  type: ndarray
signature:
  inputs: '[{{"type": "tensor", "tensor-spec": {{"dtype": "float32", "shape": [-1, 3,
    32, 32]}}}}]'
  outputs: '[{{"type": "tensor", "tensor-spec": {{"dtype": "float32", "shape": [-1,
    3]}}}}]'
  params: null
type_hint_from_example: false
utc_time_created: '2026-11-24 09:00:00.491959'
"""
CONDA = """channels:
- conda-forge
dependencies:
- python=3.11.7
- pip
- pip:
  - mlflow==3.17.2
  - torch==2.14.1
name: mlflow-env
"""
PYTHON = """python: 3.11.7
build_dependencies:
- pip
- setuptools==84.2.1
- wheel
dependencies:
- -r requirements.txt
"""
PREPROCESS = {"size": 32, "layout": "NCHW", "resize": "shortest side, bilinear, antialiased", "crop": "centre"}
PREPROCESS |= {"scale": "1/255", "decode": "full"}
EXAMPLE = [[[[0.5, 0.25]]]]


@dataclass
class OldServer:
    """What the MLflow server of a home kept, for a data set of that digest."""

    home: Path
    dataset: str
    client: MlflowClient = field(init=False)

    def __post_init__(self) -> None:
        """Make the database, the experiment and the registered model."""
        uri = f"sqlite:///{self.home.absolute()}/mlflow.db"
        os.environ["MLFLOW_TRACKING_URI"] = uri  # where the registry looks for a logged model
        SqlAlchemyStore(uri, "mlflow-artifacts:/")  # the default experiment's artifacts, as the server places them
        self.client = MlflowClient(uri, uri)
        self.client.create_experiment("hand", artifact_location="mlflow-artifacts:/1")
        self.client.create_registered_model("hand")

    def run(self, name: str, tags: dict[str, str], status: str = "FINISHED") -> str:
        source = {"mlflow.source.name": "/home/ada/.venv/bin/modelyard", "mlflow.source.type": "LOCAL", "mlflow.user": "ada"}
        run_id = self.client.create_run("1", run_name=name, tags=source | tags).info.run_id
        self.client.set_terminated(run_id, status)
        return run_id

    def train(self, number: int, status: str = "FINISHED") -> str:
        """The run that trained a version."""
        price = "0.05 USD/h (assumed; set MODELYARD_LOCAL_USD_PER_HOUR)"
        run_id = self.run("torch", {"modelyard.trainer": "torch", "modelyard.price": price}, status)
        parameters = TORCH | {"dataset": self.dataset}
        self.client.log_batch(run_id, params=[Param(name, str(value)) for name, value in parameters.items()])
        source = json.dumps({"tags": {"mlflow.source.name": str(self.home.absolute() / "datasets" / "hand")}})
        dataset = Dataset(name="hand", digest=self.dataset[:36], source_type="code", source=source)
        tags = [InputTag("modelyard.sha256", self.dataset), InputTag("mlflow.data.context", "train")]
        self.client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags)])
        if number in METRICS:
            metrics = {"train_seconds": SPENT[number][0], "cost_usd": float(SPENT[number][1])}
            metrics |= {f"test_{name}": value for name, value in METRICS[number].items()}
            for name, value in metrics.items():
                self.client.log_metric(run_id, name, value)
        return run_id

    def register(self, number: int, run_id: str) -> tuple[int, dict[str, str]]:
        """Log a run's model and register it; when MLflow says it was made, and the digest of each of its files."""
        logged = self.client.create_logged_model("1", name="torch", source_run_id=run_id, model_type="classifier")
        folder = self.home / "artifacts" / "1" / "models" / logged.model_id / "artifacts"
        info = {"trainer": "torch", "arch": "small_cnn", "framework": "torch", "labels": LABELS, "preprocess": PREPROCESS}
        info |= {"dataset": self.dataset, "task": "classify", "suppression": {"score": 0.25, "iou": 0.7, "most": 300}}
        write_json(folder / "modelyard.json", info | {"strides": []})
        write_json(folder / "input_example.json", EXAMPLE)
        write_json(folder / "serving_input_example.json", {"inputs": EXAMPLE})
        (folder / "data").mkdir()
        (folder / "data" / "model.pt2").write_text(WEIGHTS.format(number=number))
        (folder / "MLmodel").write_text(MLMODEL.format(model_id=logged.model_id, run_id=run_id))
        (folder / "conda.yaml").write_text(CONDA)
        (folder / "python_env.yaml").write_text(PYTHON)
        (folder / "requirements.txt").write_text("mlflow==3.17.2\ntorch==2.14.1")
        self.client.finalize_logged_model(logged.model_id, "READY")
        self.client.log_outputs(run_id, models=[LoggedModelOutput(logged.model_id, 0)])
        version = self.client.create_model_version("hand", f"models:/{logged.model_id}", run_id=run_id)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return version.creation_timestamp, {path.relative_to(folder).as_posix(): sha256(path.read_bytes()) for path in files}

    def gate_run(self, number: int, stage: str) -> str:
        """The run that shows a verdict."""
        outcome = "refused" if number == 3 else "promoted"
        return self.run(f"gates hand/{number} {stage}", {"modelyard.kind": "gates", "modelyard.outcome": outcome})

    def show_verdict(self, run_id: str, row: dict[str, object]) -> None:
        """The signed row and a page about it, on the run."""
        event = json.loads(str(row["body"]))
        parameters = {"version": f"hand/{row['version']}", "stage": event["stage"], "digest": event["digest"]}
        parameters |= {"policy": event["proof"]["policy_hash"]}
        self.client.log_batch(run_id, params=[Param(name, value) for name, value in parameters.items()])
        self.client.set_tag(run_id, "modelyard.row", str(row["hash"])[:32])
        folder = self.home / "artifacts" / "1" / run_id / "artifacts"
        folder.mkdir(parents=True)
        (folder / "evidence.json").write_text(json.dumps(row, indent=2))
        (folder / "report.html").write_text("<!doctype html><html lang=en><title>verdict</title></html>")

    def hold(self, versions: list[Version], rows: dict[tuple[int, str], int]) -> None:
        """The aliases, and the tags that say how each version stands."""
        for version in versions:
            findings = {
                "staging": "refused, 2 of 3" if version.number == 3 else "passed, 3 of 3",
                "production": "passed, 14 of 14",
            }
            tags = {
                f"modelyard.gates.{stage}": f"{findings[stage]} findings (ledger row {row})"
                for (number, stage), row in rows.items()
                if number == version.number
            }
            if version.number < 3:
                tags |= {"modelyard.digest": digest_of(version.manifest)}
                tags |= {"modelyard.stage": "production" if version.number == 1 else "staging"}
            for name, value in tags.items():
                self.client.set_model_version_tag("hand", str(version.number), name, value)
        self.client.set_registered_model_alias("hand", "production", "1")
        self.client.set_registered_model_alias("hand", "staging", "2")

    def subscribe(self) -> None:
        """The reconciler's webhook of the last `up`, whose secret is encrypted with the home's key."""
        (self.home / "keys").mkdir()
        (self.home / "keys" / "webhook.fernet").write_text(FERNET)
        (self.home / "keys" / "webhook.secret").write_text("5" * 64)
        version, alias = WebhookEntity.MODEL_VERSION, WebhookEntity.MODEL_VERSION_ALIAS
        events = [(version, WebhookAction.CREATED), (alias, WebhookAction.CREATED), (alias, WebhookAction.DELETED)]
        address = "http://127.0.0.1:44309/webhook"
        self.client.create_webhook("modelyard-reconciler", address, [WebhookEvent(*event) for event in events], secret="5" * 64)
