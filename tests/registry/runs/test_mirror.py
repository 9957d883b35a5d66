"""The copy of an MLflow server's runs: right after whatever happened to them, by our app's feed and by stock MLflow."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.errors import ModelyardError, UnavailableError
from registry.runs.mirror import RunMirror
from registry.runs.server import RunServer
from registry.settings import Settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[object, Callable[[bool], RunServer]]]:
    """MLflow's own store and routes on SQLite, in this process, and a client of them: with our feed, or stock."""
    from flask import Flask

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own imports
        import mlflow.server.auth  # noqa: F401 its search imports it at the first request
        from mlflow.server import app, handlers
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from registry.mlflow.server.feed import add_feed

    folder = tmp_path_factory.mktemp("runs")
    store = SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"))
    fed = Flask("feed")
    add_feed(fed, store, lambda: True)
    before, handlers._tracking_store = handlers._tracking_store, store

    def client(with_feed: bool) -> RunServer:
        def serve(environ, start):
            ours = with_feed and environ["PATH_INFO"].startswith("/api/2.0/modelyard")
            return (fed if ours else app).wsgi_app(environ, start)

        server = RunServer("http://localhost")
        server._http = httpx.Client(transport=httpx.WSGITransport(app=serve), base_url="http://localhost")
        return server

    yield store, client
    handlers._tracking_store = before


def make_run(store: object, name: str = "run", experiment: str = "0") -> str:
    return store.create_run(experiment, "ada", 1_700_000_000_000, [], name).info.run_id


class Doing:
    """What can happen to runs, through MLflow's own store."""

    def __init__(self, store) -> None:
        self.store, self.made = store, list[str]()

    def do(self, what: str, number: int, value: float) -> None:
        from mlflow.entities import Metric, Param, RunStatus, RunTag

        if what == "create" or not self.made:
            self.made.append(make_run(self.store, f"run {number}"))
            return
        run = self.made[number % len(self.made)]
        gone = self.store.get_run(run).info.lifecycle_stage == "deleted"
        if what == "delete" and not gone:
            self.store.delete_run(run)
        elif what == "restore" and gone:
            self.store.restore_run(run)
        elif gone:
            return
        elif what == "rename":
            self.store.update_run_info(run, RunStatus.FINISHED, 1_700_000_100_000, f"named {number}")
        elif what == "metric":
            self.store.log_metric(run, Metric(f"m{number % 3}", value, 1_700_000_000_000, 0))
        elif what == "param":
            self.store.log_batch(run, [], [Param(f"p{number}-{value}", str(value))], [])
        elif what == "tag":
            self.store.set_tag(run, RunTag("note", f"<b>{value}</b>"))


actions = st.lists(
    st.tuples(
        st.sampled_from(["create", "delete", "restore", "rename", "metric", "param", "tag", "sync"]),
        st.integers(0, 6),
        st.sampled_from([0.1, 0.25, 0.1 + 2**-54, 3.0, float("nan"), float("inf")]),
    ),
    max_size=14,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions)
def test_the_copy_is_what_a_full_rebuild_would_be_whatever_happened(world, tmp_path_factory, happened) -> None:
    store, client = world
    folder = tmp_path_factory.mktemp("copy")
    ours, server, doing = RunMirror(folder / "ours.db", "x"), client(True), Doing(store)
    for what, number, value in happened:
        if what == "sync":
            ours.sync(server)
        else:
            doing.do(what, number, value)
    ours.sync(server)
    again = ours.sync(server)
    assert (again.changed, again.removed) == (0, 0)
    fresh = RunMirror(folder / "fresh.db", "x")
    fresh.sync(server)
    stock = RunMirror(folder / "stock.db", "x")
    stock.sync(client(False))
    assert ours.rows() == fresh.rows() == stock.rows()
    deleted = {run for run in doing.made if store.get_run(run).info.lifecycle_stage == "deleted"}
    assert {row.run_id for row in ours.rows()}.isdisjoint(deleted)


@pytest.mark.journey
def test_on_postgresql_each_change_is_seen_at_once_and_nothing_twice(postgres_url: str, tmp_path: Path) -> None:
    """The token is PostgreSQL's own snapshot: a change shows at the next look, and without one the answer is 304."""
    from flask import Flask
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from registry.mlflow.server.feed import ROUTE, add_feed

    store = SqlAlchemyStore(postgres_url, str(tmp_path / "artifacts"))
    app = Flask("feed")
    add_feed(app, store, lambda: True)
    server = RunServer("http://localhost")
    server._http = httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://localhost")
    copy, doing = RunMirror(tmp_path / "runs.db", "x"), Doing(store)
    for number, what in enumerate(["create", "create", "metric", "param", "tag", "rename", "delete", "restore", "metric"] * 3):
        doing.do(what, number, float("nan") if number == 2 else 0.1 + number)
        copy.sync(server)
        fresh = RunMirror(tmp_path / f"fresh{number}.db", "x")
        fresh.sync(server)
        assert copy.rows() == fresh.rows()
        token = app.test_client().get(ROUTE).get_json()["token"]
        assert app.test_client().get(ROUTE, headers={"If-None-Match": f'"{token}"'}).status_code == 304
    assert len(copy.rows()) >= 4


def test_an_experiment_that_is_deleted_takes_its_runs_along_and_brings_them_back(world, tmp_path: Path) -> None:
    store, client = world
    experiment = store.create_experiment("passing", None, [])
    run = make_run(store, experiment=experiment)
    copy, server = RunMirror(tmp_path / "runs.db", "x"), client(True)
    copy.sync(server)
    assert run in {row.run_id for row in copy.rows()}
    store.delete_experiment(experiment)
    copy.sync(server)
    assert run not in {row.run_id for row in copy.rows()}
    store.restore_experiment(experiment)
    store.rename_experiment(experiment, "back")
    copy.sync(server)
    assert {row.experiment for row in copy.rows() if row.run_id == run} == {"back"}


def test_a_stock_server_is_asked_for_all_from_time_to_time(world, tmp_path: Path) -> None:
    store, client = world
    run, old = make_run(store), make_run(store)
    copy, server = RunMirror(tmp_path / "runs.db", "x"), client(False)
    copy.sync(server)
    store.delete_run(old)
    copy.sync(server)
    assert old in {row.run_id for row in copy.rows()}
    copy.sync(server, whole=True)
    held = {row.run_id for row in copy.rows()}
    assert old not in held
    assert run in held


def test_nothing_is_asked_twice_and_progress_is_told(world, tmp_path: Path) -> None:
    store, client = world
    make_run(store)
    copy, server, progress = RunMirror(tmp_path / "runs.db", "x"), client(True), list[tuple[int, int]]()
    first = copy.sync(server, lambda done, of: progress.append((done, of)))
    assert progress[-1] == (first.changed, first.changed)
    assert copy.sync(server, lambda *_: pytest.fail("nothing changed")).version == first.version == copy.state().version


def test_a_copy_that_is_broken_or_of_another_server_is_made_anew(world, tmp_path: Path) -> None:
    store, client = world
    make_run(store)
    file = tmp_path / "runs.db"
    file.write_text("no database at all" * 500)
    copy = RunMirror(file, "x")
    copy.sync(client(True))
    held = copy.rows()
    assert held
    assert RunMirror(file, "another").rows() == []
    RunMirror(file, "another").sync(client(True))
    assert RunMirror(file, "another").rows() == held


def test_while_another_process_writes_nobody_waits(world, tmp_path: Path) -> None:
    store, client = world
    make_run(store)
    copy = RunMirror(tmp_path / "runs.db", "x")
    before = copy.sync(client(True))
    make_run(store)
    with sqlite3.connect(tmp_path / "runs.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert copy.sync(client(True)).version == before.version
        assert copy.rows()


def test_the_home_s_own_server_is_one_server_at_any_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RunMirror.for_home(Settings(home=tmp_path)).server == "the home's own"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:s3cret@elsewhere")
    assert RunMirror.for_home(Settings(home=tmp_path)).server == "http://elsewhere"
    (tmp_path / "up.json").write_text("{}")
    assert RunMirror.for_home(Settings(home=tmp_path)).server == "the home's own"


def test_the_feed_refuses_whoever_may_not_and_what_it_cannot_read(world) -> None:
    from flask import Flask

    from registry.mlflow.server.feed import ROUTE, add_feed

    store, _ = world
    app, shut = Flask("open"), Flask("shut")
    add_feed(app, store, lambda: True)
    add_feed(shut, store, lambda: False)
    assert [shut.test_client().get(ROUTE).status_code, shut.test_client().post(ROUTE, json={"ids": []}).status_code] == [
        403,
        403,
    ]
    for body in ({}, {"ids": "x"}, {"ids": [1]}, {"ids": ["x"] * 1001}, []):
        assert app.test_client().post(ROUTE, json=body).status_code == 400


def test_a_server_that_is_away_or_no_mlflow_is_one_line(tmp_path: Path) -> None:
    server = RunServer("http://ada:s3cret@127.0.0.1:1")
    with server, pytest.raises(UnavailableError, match="start it with `modelyard up`") as caught:
        RunMirror(tmp_path / "a.db", "x").sync(server)
    assert "s3cret" not in str(caught.value)
    odd = RunServer("http://localhost")
    odd._http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, text="<html>")), base_url="http://x")
    with pytest.raises(ModelyardError, match="does not answer as MLflow does"):
        RunMirror(tmp_path / "b.db", "x").sync(odd)


def test_a_row_that_was_damaged_is_read_again_from_the_server(world, tmp_path: Path) -> None:
    store, client = world
    run = make_run(store)
    copy = RunMirror(tmp_path / "runs.db", "x")
    copy.sync(client(True))
    held = copy.rows()
    with sqlite3.connect(tmp_path / "runs.db") as db:
        db.execute("UPDATE runs SET body = x'00ff' WHERE run_id = ?", (run,))
    assert run not in {row.run_id for row in copy.rows()}
    assert copy.sync(client(True)).changed == 1
    assert copy.rows() == held
