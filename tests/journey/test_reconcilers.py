"""Several reconcilers on one PostgreSQL ledger: exactly one acts, and another takes over when it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from registry.ledger.leases import LEASE_S
from registry.promotion.promote import promote, rollback
from registry.promotion.state import fold
from registry.refs import Ref
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from servers import ADA, Server, fresh_database, serving

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def server(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home, database = tmp_path_factory.mktemp("reconcilers") / "home", fresh_database(postgres_url)
    home.mkdir()
    with serving(home, database, database) as started:
        yield started


@pytest.fixture(autouse=True)
def _ledger(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own processes use the server's ledger."""
    monkeypatch.setenv("MODELYARD_LEDGER_URL", server.database)


def start(server: Server, number: int) -> subprocess.Popen[bytes]:
    """A reconciler as an operator would run it on one of several machines."""
    command = [sys.executable, "-m", "pipelines.cli.main", "reconcile", "--watch", "--every", "2", "--home", str(server.home)]
    environment = {**os.environ, "MODELYARD_MLFLOW_URI": server.uri, "PYTHONUNBUFFERED": "1"}
    with (server.home / f"reconciler-{number}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


@dataclass(frozen=True)
class Held:
    """The lease of which one reconciler acts, by the database's clock."""

    holder: str
    expires: float
    now: float


def lease(server: Server) -> Held | None:
    clock = "extract(epoch from clock_timestamp())"
    query = f"select holder, expires, {clock} from modelyard_leases where name = '/reconciler' and expires > {clock}"
    with create_engine(server.database, poolclass=NullPool).connect() as connection:
        if not inspect(connection).has_table("modelyard_leases"):
            return None  # the first lease makes it
        row = connection.execute(text(query)).one_or_none()
    return Held(row[0], float(row[1]), float(row[2])) if row else None


def leader(server: Server) -> str | None:
    return held.holder if (held := lease(server)) else None


def test_one_acts_and_another_takes_over_when_its_lease_ends(server: Server, eventually) -> None:
    running = {number: start(server, number) for number in range(3)}
    try:
        eventually(lambda: leader(server))
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
        logs = {number: (server.home / f"reconciler-{number}.log").read_text() for number in running}
        acting = [number for number, log in logs.items() if "is not served" in log]
        assert len(acting) == 1
        running[acting[0]].kill()
        running[acting[0]].wait()
        left = lease(server)
        assert left is None or (left.holder == first and left.expires - left.now <= LEASE_S), "it is not held for longer"
        eventually(lambda: leader(server) not in {None, first})
        taken = lease(server)
        assert left is None or taken is None or taken.expires - LEASE_S > left.expires, "never two at once"
        server.sql("update registered_model_aliases set version = 1 where name = :name and alias = 'production'", name=name)
        eventually(lambda: Stage.PRODUCTION in fold(server.ledger().entries(name)).holders)
        assert server.ledger().verify() > 0
    finally:
        for process in running.values():
            process.kill()
            process.wait()


@contextmanager
def requests_to(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is asked of the MLflow server within the block."""
    asked, send = list[str](), requests.Session.send

    def noted(session: requests.Session, request: requests.PreparedRequest, **options) -> requests.Response:
        asked.append(f"{request.method} {str(request.url).removeprefix(server.uri)}")
        return send(session, request, **options)

    with monkeypatch.context() as patched:
        patched.setattr(requests.Session, "send", noted)
        yield asked


def test_going_back_asks_no_more_than_going_forward_and_judges_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is why it takes well under a second: the files' digest is computed again, and nothing is measured or judged."""
    name = server.model(2)
    for number in (1, 2):
        server.prove(name, number)
        promote(server.context(name), Ref(name, number), Stage.STAGING, ADA)
        with requests_to(server, monkeypatch) as forward:
            promote(server.context(name), Ref(name, number), Stage.PRODUCTION, ADA)
    yard = server.context(name)
    assert yard.gates[Stage.PRODUCTION]
    monkeypatch.setattr("registry.promotion.promote.evaluate_gates", lambda *_: pytest.fail("it was judged again"))
    with requests_to(server, monkeypatch) as back:
        outcome = rollback(yard, name, Stage.PRODUCTION, None, ADA)
    assert (outcome.promotion.version, outcome.promotion.previous) == (1, 2)
    assert server.holders(name) == {"production": 1}
    moves = [line for line in back if line.startswith("POST") and line.endswith("registered-models/alias")]
    assert len(moves) == 1
    assert 0 < back.index(moves[0]) < len(back) <= len(forward), (back, forward)
