"""A real MLflow server with our gates inside, its database on SQLite or PostgreSQL, and versions with evidence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import requests
from mlflow import MlflowClient
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from pipelines.home import Home
from pipelines.job.policy import current_policy, set_policy
from pipelines.promotion.assemble import gates_of
from pipelines.services.up import ServiceGroup, _spawn, claim, stop, wait_for
from registry.events import Evaluated, Exported, Promoted, Trained, about
from registry.ledger.store import SqlLedger
from registry.mlflow.store import MlflowStore
from registry.mlflow.tracker import Tracker
from registry.promotion.context import PromotionContext
from registry.promotion.verdict import digest_version
from registry.protocols import Hook
from registry.records import Actor, ClassScore, Evaluation, ModelVersion, ParityFigures
from registry.settings import Settings
from registry.stages import Stage

ADA = Actor("ada")


@dataclass
class Serving:
    """A hook that stands for deploying: it notes what serves, flip by flip."""

    name: str = "serve"
    flips: list[int] = field(default_factory=list)

    def run(self, promotion: Promoted) -> None:
        if not self.flips or self.flips[-1] != promotion.version:
            self.flips.append(promotion.version)


@dataclass
class Server:
    """One server: where it answers, the home it belongs to, and its database."""

    uri: str
    home: Path
    database: str

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, mlflow_uri=self.uri)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def ledger(self) -> SqlLedger:
        return Home(self.settings).ledger()

    def sql(self, statement: str, **values: object) -> None:
        """Write past the server, straight into its database."""
        with create_engine(self.database, poolclass=NullPool).begin() as connection:
            assert connection.execute(text(statement), values).rowcount > 0

    def ask(self, tail: str, method: str = "POST", prefix: str = "ajax-api", **body: object) -> requests.Response:
        """A raw call, as a browser or a script would make it."""
        auth = (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) if "MLFLOW_TRACKING_USERNAME" in os.environ else None  # fmt: skip
        return requests.request(method, f"{self.uri}/{prefix}/2.0/mlflow/{tail}", json=body, timeout=500, auth=auth)

    def alias(self, model: str, alias: str, version: int, **options: str) -> requests.Response:
        return self.ask("registered-models/alias", name=model, alias=alias, version=str(version), **options)

    def model(self, versions: int = 2, production: float = 0.9) -> str:
        """A registered model with versions and a policy, without evidence."""
        name, ledger = f"hand-{uuid4().hex[:8]}", self.ledger()
        from pipelines.job.jobfile import parse_job

        raw = {"model": name, "train": [{"kind": "torch"}], "export": [{"kind": "onnx"}]}
        gate = {"kind": "metric", "name": "top1"}
        stages = {"staging": [gate | {"at_least": 0.9}], "production": [gate | {"at_least": production}]}
        set_policy(ledger, parse_job(raw | {"gates": stages}, "test"), ADA)
        for _ in range(versions):
            self.version(name)
        return name

    def version(self, name: str) -> int:
        folder = self.home / "prepared" / uuid4().hex
        (folder / "data").mkdir(parents=True)
        (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: none\n")
        (folder / "data" / "weights.bin").write_bytes(os.urandom(200))
        with Tracker(self.uri, "gates").run("test", {}) as run:
            return run.model(folder, "model", name)

    def find(self, name: str, number: int) -> ModelVersion:
        return next(version for version in MlflowStore(self.uri).versions(name) if version.version == number)

    def prove(self, name: str, number: int, top1: float = 0.95) -> ModelVersion:
        """Give a version evidence, as training and evaluating it would."""
        version, ledger = self.find(name, number), self.ledger()
        key = about(version, digest_version(MlflowStore(self.uri), version))
        spent = {"seconds": 1, "hardware": "here", "usd": Decimal("0.1"), "price_as_of": "2026-11-23", "actor": "ada"}
        ledger.append(Trained(**key, trainer="torch", run_id=version.run_id or "r", dataset="d" * 64, **spent))
        score = ClassScore(label="a", precision=1, recall=1, f1=1, support=10)
        facts = {"images": 10, "clips": 5, "classes": [score], "confusion": [[10]], "interval": (0.9, 1.0)}
        scored = Evaluation(dataset="d" * 64, split="test", metrics={"top1": top1}, **facts)
        ledger.append(Evaluated(**key, evaluation=scored))
        same = {"images": 50, "top1_agreement": 1, "max_abs_diff": 0, "mean_abs_diff": 0, "control_agreement": 0}
        parity = [ParityFigures(variant="onnx", **same, control_max_abs_diff=1)]  # production asks for what the job exports
        ledger.append(Exported(**key, bundle="b" * 64, path=str(self.home), megabytes=1, parity=parity, latency=None))
        return version

    def context(self, name: str, *hooks: Hook) -> PromotionContext:
        """The model's yard by its policy, with hooks of the test's own on both stages."""
        shop, ledger = Home(self.settings), self.ledger()
        job = current_policy(ledger.entries(name))
        assert job is not None
        gates = gates_of(job)
        return PromotionContext(MlflowStore(self.uri), ledger, shop.leases(ledger), gates, {Stage.PRODUCTION: hooks})

    def holders(self, name: str) -> dict[str, int]:
        return MlflowStore(self.uri).aliases(name)


@contextmanager
def serving(home: Path, database: str, ledger: str | None, *options: str, app: str | None = "modelyard") -> Iterator[Server]:
    """Start a server and end it; `options` are MLflow's own."""
    keeper, port = ServiceGroup(), claim(0, "")
    variables = {"MODELYARD_LEDGER_URL": ledger} if ledger else {}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", database]
    command += ["--artifacts-destination", str(home / "artifacts"), *(["--app-name", app] if app else []), *options]
    if "--workers" not in options:
        command += ["--workers", "1"]
    prefix = options[options.index("--static-prefix") + 1] if "--static-prefix" in options else ""
    try:
        home.mkdir(parents=True, exist_ok=True)
        url = f"http://127.0.0.1:{port}{prefix}"
        keeper.services.append(_spawn("mlflow", command, home, url=url, health="/health"))
        wait_for(keeper, lambda _: None)
        yield Server(url, home, database)
    finally:
        stop(keeper)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def fresh_database(postgres_url: str) -> str:
    """A new, empty database on the test's PostgreSQL server."""
    name = f"yard_{uuid4().hex[:8]}"
    with create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"create database {name}"))
    return postgres_url.replace("/postgres?", f"/{name}?")
