"""What changed among a server's runs, from the server itself: two routes that our plugin adds to MLflow.

MLflow's own search cannot say which runs were renamed, deleted or given a late metric, short of sending all of them. Here a
client gets a digest of each run and asks for those whose digest it does not know. Nothing of it writes.

    GET  /api/2.0/modelyard/runs    {"token", "digests": {run: digest}}; 304 where If-None-Match holds the token
    POST /api/2.0/modelyard/runs    {"ids": [...]} → {"runs": [...]}, at most a thousand
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLatestMetric, SqlParam, SqlRun, SqlTag
from sqlalchemy import Engine, Float, String, cast, func, literal, select, text
from sqlalchemy.engine import Connection

from registry.runs.rows import RunRow, display_params, display_tags, split_metrics

if TYPE_CHECKING:
    from flask import Flask, Response

ROUTE = "/api/2.0/modelyard/runs"
MOST = 1000
_JOIN = {"sqlite": "group_concat", "postgresql": "string_agg"}
_ACTIVE = "active"


class RunFeed:
    """Digests and rows of the active runs of one tracking store."""

    def __init__(self, engine: Engine) -> None:
        """`engine` is the tracking store's own."""
        self._engine, self._join = engine, getattr(func, _JOIN[engine.dialect.name])
        self._start, self._lock = secrets.token_hex(4), threading.Lock()
        self._watch: Connection | None = None

    @staticmethod
    def offered(engine: Engine | None) -> bool:
        """Whether a store's database can be asked: SQLite or PostgreSQL."""
        return engine is not None and engine.dialect.name in _JOIN

    def token(self) -> str:
        """Something that differs after anything was written to the database."""
        if self._engine.dialect.name == "postgresql":
            with self._engine.connect() as connection:  # which transactions this one can see, exactly
                query = text("SELECT pg_current_snapshot(), pg_postmaster_start_time()")
                return "-".join(str(part) for part in connection.execute(query).one())
        with self._lock:  # SQLite counts, for one connection, what all others wrote
            self._watch = self._watch or self._engine.connect()
            seen = self._watch.execute(text("PRAGMA data_version")).scalar_one()
            self._watch.rollback()
        return f"{self._start}-{seen}"

    def digests(self) -> dict[str, str]:
        """Run → digest of everything that a row shows."""
        digests: dict[str, Any] = defaultdict(lambda: hashlib.blake2b(digest_size=16))
        with self._engine.connect() as connection:
            for row in connection.execute(_runs()):
                digests[row.run_uuid].update(repr(tuple(row)).encode())
            known = set(digests)
            for table, columns in _PARTS:
                line = self._text(columns[0])
                for column in columns[1:]:
                    line = line + literal("\x1f") + func.coalesce(self._text(column), "")
                query = select(table.run_uuid, self._join(line, literal("\x1e"))).group_by(table.run_uuid)
                for run_id, joined in connection.execute(query):
                    if run_id in known:
                        digests[run_id].update("\x1e".join(sorted(joined.split("\x1e"))).encode() + b"\x1d")
        return {run_id: digest.hexdigest() for run_id, digest in digests.items()}

    def _text(self, column: Any) -> Any:
        """A column as text, every digit of it: SQLite's own cast keeps fifteen."""
        if self._engine.dialect.name == "sqlite" and isinstance(column.type, Float):
            return func.printf("%!.17g", column)
        return cast(column, String)

    def rows(self, ids: Sequence[str]) -> list[RunRow]:
        """Those of the runs that are there and active."""
        with self._engine.connect() as connection:
            metrics, params, tags = (_by_run(connection, table, columns, ids) for table, columns in _PARTS)
            runs = connection.execute(_runs().where(SqlRun.run_uuid.in_(ids))).all()
        rows = list[RunRow]()
        for run in runs:
            good, odd = split_metrics({key: None if nan else value for key, value, nan in metrics[run.run_uuid]})
            rows.append(
                RunRow(
                    run_id=run.run_uuid,
                    experiment_id=str(run.experiment_id),
                    experiment=run.experiment,
                    name=run.name or run.run_uuid[:8],
                    status=run.status,
                    started_ms=run.start_time or 0,
                    ended_ms=run.end_time,
                    metrics=good,
                    params=display_params(dict(params[run.run_uuid])),
                    tags=display_tags(dict(tags[run.run_uuid])),
                    odd=odd,
                )
            )
        return rows


_PARTS = (
    (SqlLatestMetric, (SqlLatestMetric.key, SqlLatestMetric.value, SqlLatestMetric.is_nan)),
    (SqlParam, (SqlParam.key, SqlParam.value)),
    (SqlTag, (SqlTag.key, SqlTag.value)),
)


def _runs() -> Any:
    """The active runs of active experiments."""
    columns = (SqlRun.run_uuid, SqlRun.name, SqlRun.status, SqlRun.start_time, SqlRun.end_time, SqlRun.experiment_id)
    joined = select(*columns, SqlExperiment.name.label("experiment")).join(
        SqlExperiment, SqlExperiment.experiment_id == SqlRun.experiment_id
    )
    return joined.where(SqlRun.lifecycle_stage == _ACTIVE, SqlExperiment.lifecycle_stage == _ACTIVE)


def _by_run(connection: Connection, table: Any, columns: Sequence[Any], ids: Sequence[str]) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = defaultdict(list)
    for run_id, *values in connection.execute(select(table.run_uuid, *columns).where(table.run_uuid.in_(ids))):
        rows[run_id].append(tuple(values))
    return rows


def add_feed(app: Flask, store: Any, allowed: Callable[[], bool]) -> None:
    """Offer the routes, where the tracking store is a database that can be asked. `allowed` judges each request."""
    from flask import Response, abort, request

    engine: Engine | None = getattr(store, "engine", None)
    if engine is None or not RunFeed.offered(engine):
        return
    feed = RunFeed(engine)

    def answer(payload: object, token: str = "") -> Response:
        headers = {"ETag": f'"{token}"', "Cache-Control": "private, no-cache"} if token else {}
        return Response(msgspec.json.encode(payload), mimetype="application/json", headers=headers)

    def send_digests() -> Response:
        if not allowed():
            abort(403)
        token = feed.token()  # before the rows: what is written meanwhile shows next time
        if request.headers.get("If-None-Match") == f'"{token}"':
            return Response(status=304)
        return answer({"token": token, "digests": feed.digests()}, token)

    def send_rows() -> Response:
        if not allowed():
            abort(403)
        payload = request.get_json(silent=True)
        ids = payload.get("ids") if isinstance(payload, dict) else None
        if not isinstance(ids, list) or len(ids) > MOST or not all(isinstance(run_id, str) for run_id in ids):
            abort(400, f"ids: expected a list of at most {MOST} run ids")
        return answer({"runs": feed.rows(ids)})

    app.add_url_rule(ROUTE, "modelyard_runs_changed", send_digests, methods=["GET"])
    app.add_url_rule(ROUTE, "modelyard_runs_wanted", send_rows, methods=["POST"])
