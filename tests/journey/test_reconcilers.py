"""Several reconcilers on one PostgreSQL ledger: exactly one acts, and another takes over when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from registry.events import now
from registry.ledger.leases import LEASE_S
from registry.promotion.promote import promote, rollback
from registry.promotion.state import fold
from registry.refs import Ref
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from servers import ADA, Server, fresh_database, serving

pytestmark = [pytest.mark.journey, pytest.mark.alone]


@pytest.fixture
def server(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    home, database = tmp_path / "home", fresh_database(postgres_url)
    home.mkdir()
    monkeypatch.setenv("MODELYARD_LEDGER_URL", database)
    with serving(home, database, database) as found:
        yield found


def start(server: Server, number: int) -> subprocess.Popen[bytes]:
    """A reconciler as an operator would run it on one of several machines."""
    command = [sys.executable, "-m", "pipelines.cli.main", "reconcile", "--watch", "--every", "2", "--home", str(server.home)]
    told = {**os.environ, "MODELYARD_MLFLOW_URI": server.uri, "PYTHONUNBUFFERED": "1"}
    with (server.home / f"reconciler-{number}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=told)


def leader(server: Server) -> str | None:
    with create_engine(server.database, poolclass=NullPool).connect() as connection:
        query = (
            "select holder from modelyard_leases where name = '/reconciler' and expires > extract(epoch from clock_timestamp())"
        )
        return connection.execute(text(query)).scalar()


def eventually(so, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.2)


def test_one_acts_and_another_takes_over_within_the_lease_time(server: Server) -> None:
    running = {number: start(server, number) for number in range(3)}
    try:
        eventually(lambda: leader(server) is not None)
        first = leader(server)
        name = server.model(2)
        server.prove(name, 1)
        promote(server.context(name), Ref(name, 1), Stage.STAGING, ADA)
        server.sql("insert into registered_model_aliases (name, alias, version, workspace) values (:name, 'production', 2, 'default')", name=name)  # fmt: skip
        blocked = lambda: [row for row in server.ledger().entries(name) if row.event.kind == "blocked"]  # noqa: E731
        eventually(blocked)
        time.sleep(5)
        assert len(blocked()) == 1, "three watch, one acts"
        assert leader(server) == first
        said = {number: (server.home / f"reconciler-{number}.log").read_text() for number in running}
        acting = [number for number, text_ in said.items() if "is not served" in text_]
        assert len(acting) == 1
        running[acting[0]].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        eventually(lambda: leader(server) not in {None, first}, LEASE_S + 10)
        assert time.monotonic() - killed < LEASE_S + 1
        server.sql("update registered_model_aliases set version = 1 where name = :name and alias = 'production'", name=name)
        eventually(lambda: Stage.PRODUCTION in fold(server.ledger().entries(name)).live)
        assert server.ledger().verify() > 0
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def test_going_back_is_decided_in_under_a_second(server: Server) -> None:
    name = server.model(2)
    for number in (1, 2):
        server.prove(name, number)
        promote(server.context(name), Ref(name, number), Stage.STAGING, ADA)
        promote(server.context(name), Ref(name, number), Stage.PRODUCTION, ADA)
    yard = server.context(name)
    began = now()
    outcome = rollback(yard, name, Stage.PRODUCTION, None, ADA)
    moved = [row for row in server.ledger().entries(name) if row.event.kind == "flipped"][-1]
    took = (moved.at - began).total_seconds()
    assert (outcome.promotion.version, outcome.promotion.previous) == (1, 2)
    assert server.holders(name) == {"production": 1}
    assert took < 1.0, f"{took:.2f} s until the alias had moved, the files' digest computed again"
