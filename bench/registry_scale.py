"""Servers and registries for the registry's benchmarks."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelAlias,
)
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from pipelines.home import Home
from pipelines.promotion.assemble import assemble
from pipelines.services.reconciler import Reconciler
from pipelines.services.up import ServiceGroup, _keep, _start_mlflow, claim, stop, wait_for
from registry.events import Flipped, HookDone, Promoted
from registry.opening import keys_of
from registry.records import Finding
from registry.settings import Settings
from registry.stages import Stage

_VERSIONS = 10
_HELD = {Stage.PRODUCTION: 8, Stage.STAGING: 9}


@contextmanager
def _server(home: Path, app: str | None) -> Iterator[str]:
    home.mkdir(parents=True, exist_ok=True)
    keeper = ServiceGroup()
    try:
        _keep(home, keeper, _start_mlflow(home, claim(0, ""), app))
        wait_for(keeper, lambda _: None)
        yield keeper.addresses["mlflow"]
    finally:
        stop(keeper)


@contextmanager
def scaled(folder: Path, models: int) -> Iterator[Reconciler]:
    """A reconciler of a registry with so many settled models."""
    home = folder / "home"
    with _server(home, "modelyard") as uri:
        _fill_registry(home, models)
        settings = Settings(home=home, mlflow_uri=uri)
        _fill_ledger(Home(settings), models)
        yield Reconciler(assemble(Home(settings), lambda line: print(line, file=sys.stderr)))


def _fill_registry(home: Path, models: int) -> None:
    """Straight into MLflow's tables: by its API this takes minutes."""
    engine = create_engine(f"sqlite:///{home / 'mlflow.db'}", connect_args={"timeout": 60})
    with Session(engine) as session, session.begin():
        for model in range(models):
            name = f"m{model:04d}"
            session.add(SqlRegisteredModel(name=name, creation_time=1, last_updated_time=1, workspace="default"))
            session.flush()
            for number in range(1, _VERSIONS + 1):
                times = {"creation_time": number, "last_updated_time": number, "workspace": "default"}
                fields = {"current_stage": "None", "source": "models:/m-x", "status": "READY", "storage_location": "x"}
                session.add(SqlModelVersion(name=name, version=number, **times, **fields))
            session.flush()
            for stage, number in _HELD.items():
                key = {"name": name, "version": number, "workspace": "default"}
                session.add(SqlModelVersionTag(**key, key="modelyard.stage", value=stage.value))
                session.add(SqlRegisteredModelAlias(name=name, alias=stage.value, version=number, workspace="default"))
    engine.dispose()


def _fill_ledger(home: Home, models: int) -> None:
    """What promoting each of them left behind; signed, in one transaction, because each commit waits for the disk."""
    from registry.ledger.chain import Walk
    from registry.ledger.models import Row
    from registry.ledger.store import make_row

    ledger = home.ledger()
    ledger.database.make()
    keys = keys_of(home.settings).to_sign()
    finding = [Finding(gate="metric", passed=True, text="top1 0.95 is at least 0.9", figure=0.95, limit=0.9)]
    walk = Walk()
    with Session(ledger.database.engine) as session, session.begin():
        for model in range(models):
            for stage, number in _HELD.items():
                key = {"model": f"m{model:04d}", "version": number, "created_ms": number, "digest": "d" * 64, "stage": stage}
                events = [
                    Promoted(**key, previous=None, actor="bench", findings=finding),
                    Flipped(**key, previous=None, actor="bench"),
                    HookDone(**key, hook="tidy"),
                    HookDone(**key, hook="export"),
                ]
                for event in events:
                    row = make_row(event, walk, keys)
                    walk.step(row)
                    session.add(Row(**row._asdict()))
    ledger._witness.note(walk, row.signer, 1)


@contextmanager
def two_servers(folder: Path) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """The same request to a server with admission and to a stock one."""
    with (
        _server(folder / "ours", "modelyard") as ours,
        _server(folder / "stock", None) as stock,
        httpx.Client() as our_client,
        httpx.Client() as stock_client,
    ):
        yield _asker(our_client, ours), _asker(stock_client, stock)


def _asker(client: httpx.Client, uri: str) -> Callable[[], None]:
    base = f"{uri}/api/2.0/mlflow"
    run = client.post(f"{base}/runs/create", json={"experiment_id": "0", "start_time": 0}).json()["run"]["info"]["run_id"]

    def ask() -> None:
        body = {"run_id": run, "key": "x", "value": 1.0, "timestamp": time.time_ns() // 1_000_000}
        client.post(f"{base}/runs/log-metric", json=body).raise_for_status()

    return ask


os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
