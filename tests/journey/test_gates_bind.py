"""Whoever moves the alias, and however: ten ways around the gates, each on SQLite and on PostgreSQL, on a real server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests

from registry.events import Blocked, Lost, Promoted
from registry.promotion.promote import promote
from registry.promotion.reconcile import reconcile
from registry.promotion.state import fold
from registry.refs import Ref
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from servers import ADA, Server, Serving, fresh_database, serving

pytestmark = pytest.mark.journey
LONG_S = 500
"""After which a thread is taken to hang."""


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp(f"gates-{request.param}") / "home"
    home.mkdir()
    if request.param == "sqlite":
        database, ledger = f"sqlite:///{home / 'mlflow.db'}", None
    else:
        database = ledger = fresh_database(request.getfixturevalue("postgres_url"))  # both in one database
    with serving(home, database, ledger) as started:
        yield started


@pytest.fixture(autouse=True)
def _ledger(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own processes use the server's ledger."""
    if server.database.startswith("postgresql"):
        monkeypatch.setenv("MODELYARD_LEDGER_URL", server.database)


def in_production(server: Server, *proven: int, versions: int = 2) -> str:
    """A model whose version 1 is in production by the gates; further versions have evidence where asked for."""
    name = server.model(versions)
    for number in {1, *proven}:
        server.prove(name, number)
    yard = server.context(name)
    promote(yard, Ref(name, 1), Stage.STAGING, ADA)
    promote(yard, Ref(name, 1), Stage.PRODUCTION, ADA)
    return name


def test_1_an_alias_by_a_raw_call_without_evidence_is_refused_with_the_reason(server: Server) -> None:
    name = server.model()
    for prefix in ("api", "ajax-api"):
        answer = server.alias(name, "staging", 1, prefix=prefix)
        assert answer.status_code == 403
        assert f"run `modelyard evaluate {name}/1`" in answer.json()["message"]
        assert server.alias(name, "production", 1, prefix=prefix).status_code == 403
        assert server.alias(name, "nightly", 1, prefix=prefix).status_code == 200
    assert server.holders(name) == {"nightly": 1}
    server.prove(name, 1)
    assert server.alias(name, "staging", 1).status_code == 200
    assert server.holders(name)["staging"] == 1
    live = fold(server.ledger().entries(name)).holders[Stage.STAGING]
    assert (live.identity[0], live.actor) == (1, "unknown, over MLflow")


def test_2_an_alias_written_into_the_database_is_blocked_and_not_deployed(server: Server) -> None:
    name, serve = in_production(server), Serving()
    yard = server.context(name, serve)
    reconcile(yard, name)
    server.sql("update registered_model_aliases set version = 2 where name = :name and alias = 'production'", name=name)
    acted = reconcile(yard, name).acted
    assert "cannot go from 'none' to 'production'" in acted[0]
    assert serve.flips == [1]
    assert "modelyard.blocked" in server.find(name, 2).tags
    assert any(isinstance(row.event, Blocked) and row.event.version == 2 for row in server.ledger().entries(name))
    assert reconcile(yard, name).acted == []


def test_3_an_artifact_that_was_overwritten_after_gating_is_not_deployed(server: Server) -> None:
    name, serve = server.model(1), Serving()
    server.prove(name, 1)
    path = next(path for path in server.home.joinpath("artifacts").rglob("weights.bin") if server.find(name, 1).source.split("/")[-1] in str(path))  # fmt: skip
    yard = server.context(name, serve)
    promote(yard, Ref(name, 1), Stage.STAGING, ADA)
    server.sql("insert into registered_model_aliases (name, alias, version, workspace) values (:name, 'production', 1, 'default')", name=name)  # fmt: skip
    original = path.read_bytes()
    path.write_bytes(b"something else")
    assert "no evaluation of these bytes" in reconcile(yard, name).acted[-1]
    assert serve.flips == []
    path.write_bytes(original)
    artifact = path.relative_to(server.home / "artifacts").as_posix()
    for method, data in (("PUT", b"x"), ("DELETE", None)):
        answer = requests.request(method, f"{server.uri}/api/2.0/mlflow-artifacts/artifacts/{artifact}", data=data, timeout=30)
        assert answer.status_code == 403, answer.text
        assert "may not be changed" in answer.json()["message"]
    assert path.read_bytes() == original


def test_3b_an_artifact_that_changes_between_ratification_and_deployment_is_not_deployed(server: Server) -> None:
    name, serve = server.model(1), Serving()
    server.prove(name, 1)
    promote(server.context(name), Ref(name, 1), Stage.STAGING, ADA)
    promote(server.context(name), Ref(name, 1), Stage.PRODUCTION, ADA)
    source = server.find(name, 1).source.split("/")[-1]
    path = next(path for path in (server.home / "artifacts").rglob("weights.bin") if source in str(path))
    path.write_bytes(b"something else")
    assert "its files changed after it was ratified" in reconcile(server.context(name, serve), name).acted[0]
    assert serve.flips == []


def test_4_a_copy_with_approved_tags_is_not_trusted(server: Server) -> None:
    name, other = in_production(server), server.model(0)
    tags = server.find(name, 1).tags
    assert tags["modelyard.stage"] == "production"
    server.client.create_registered_model(other)
    copied = server.client.copy_model_version(f"models:/{name}/1", other)
    assert not [key for key in server.find(other, int(copied.version)).tags if key.startswith("modelyard.")]
    for key, value in tags.items():
        answer = server.ask("model-versions/set-tag", name=other, version="1", key=key, value=value)
        assert (answer.status_code == 403) == key.startswith("modelyard.")
    assert server.alias(other, "staging", 1).status_code == 403
    server.sql("insert into registered_model_aliases (name, alias, version, workspace) values (:name, 'production', 1, 'default')", name=other)  # fmt: skip
    serve = Serving()
    assert "not served" in reconcile(server.context(other, serve), other).acted[0]
    assert serve.flips == []


def test_5_a_model_that_was_deleted_and_made_again_is_not_the_old_one(server: Server) -> None:
    name, serve = in_production(server, versions=1), Serving()
    answer = server.ask("registered-models/delete", "DELETE", name=name)
    assert answer.status_code == 403
    assert f"{name}/1 backs 'production' and may not be deleted" in answer.json()["message"]
    for table in ("registered_model_aliases", "model_version_tags", "model_versions", "registered_models"):
        server.sql(f"delete from {table} where name = :name", name=name)
    assert "is gone from MLflow" in reconcile(server.context(name, serve), name).acted[0]
    server.version(name)
    assert server.alias(name, "staging", 1).status_code == 403
    assert server.alias(name, "production", 1).status_code == 403
    server.sql("insert into registered_model_aliases (name, alias, version, workspace) values (:name, 'production', 1, 'default')", name=name)  # fmt: skip
    reconcile(server.context(name, serve), name)
    assert serve.flips == []
    assert "modelyard.blocked" in server.find(name, 1).tags


def test_6_webhooks_lost_doubled_reordered_replayed_or_forged_change_nothing(server: Server, eventually) -> None:
    from pipelines.services.webhook import listen, secret_of, subscribe

    name, serve, rung = in_production(server, 2), Serving(), list[float]()
    yard, shop = server.context(name, serve), server.settings
    reconcile(yard, name)
    url = listen(shop, 0, lambda: rung.append(time.time()))
    subscribe(shop, url)
    secret = secret_of(server.settings).get_secret_value().encode()

    def deliver(delivery: str, at: float, body: bytes = b"{}", key: bytes = secret) -> int:
        stamp = str(int(at))
        mac = hmac.new(key, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
        headers = {"X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": stamp, "X-MLflow-Signature": f"v1,{base64.b64encode(mac).decode()}"}  # fmt: skip
        return httpx.post(url, content=body, headers=headers).status_code

    now = time.time()
    assert deliver("two", now) == 202
    assert deliver("one", now - 60) == 202  # out of order
    assert deliver("one", now - 60) == 200  # doubled
    assert deliver("old", now - 4000) == 401  # replayed
    assert deliver("far", now + 4000) == 401
    assert deliver("bad", now, key=b"guess") == 401
    assert httpx.post(url, content=b"{}").status_code == 400
    assert len(rung) == 2
    assert serve.flips == [1]  # none of it moved anything
    before = len(rung)
    time.sleep(2.5)  # MLflow remembers for so long which webhooks there are
    assert server.alias(name, "staging", 2).status_code == 200
    eventually(lambda: len(rung) > before)  # the real server's own delivery rings the bell
    assert server.alias(name, "production", 2).status_code == 200  # its webhook may be lost: a pass finds it
    reconcile(yard, name)
    assert serve.flips == [1, 2]
    assert reconcile(yard, name).acted == []


def test_7_an_alias_that_goes_there_and_back_during_an_export_flips_nothing(server: Server) -> None:
    name, serve = in_production(server, 2), Serving()
    begun, back = threading.Event(), threading.Event()

    class Export:
        name = "export"

        def run(self, promotion: Promoted) -> None:
            if promotion.version == 2:
                begun.set()
                assert back.wait(LONG_S)

    yard = server.context(name, Export(), serve)
    reconcile(yard, name)
    assert serve.flips == [1]
    promote(server.context(name), Ref(name, 2), Stage.STAGING, ADA)
    assert server.alias(name, "production", 2).status_code == 200
    passing = threading.Thread(target=reconcile, args=(yard, name))
    passing.start()
    assert begun.wait(LONG_S)
    assert server.alias(name, "production", 1).status_code == 200  # back, while the export still runs
    back.set()
    passing.join(LONG_S)
    reconcile(yard, name)
    assert serve.flips == [1]
    assert server.holders(name)["production"] == 1
    assert fold(server.ledger().entries(name)).holders[Stage.PRODUCTION].identity[0] == 1


def test_8_another_spelling_of_a_stage_is_refused(server: Server) -> None:
    name = in_production(server)
    spelled = {"production": ("Production", "PRODUCTION", "production\n", "\uff50roduction", "\u0440roduction", "pr0duction"), "staging": ("Staging", "stag\u0131ng", "-staging")}  # fmt: skip
    for stage, alias in [(stage, alias) for stage, aliases in spelled.items() for alias in aliases]:
        answer = server.alias(name, alias, 1)
        assert answer.status_code == 403, ascii(alias)
        assert f"use '{stage}'" in answer.json()["message"]
    server.sql("insert into registered_model_aliases (name, alias, version, workspace) values (:name, 'Production', 2, 'default')", name=name)  # fmt: skip
    serve = Serving()
    assert any("tells every letter from every other" in line for line in reconcile(server.context(name, serve), name).acted)
    assert serve.flips == [1]


@pytest.mark.parametrize(("status", "reason"), [(1, "PENDING"), (3, "FAILED")])
def test_9_a_version_of_an_unfinished_or_failed_model_is_refused(server: Server, status: int, reason: str) -> None:
    name = server.model(1)
    server.prove(name, 1)
    server.sql("update logged_models set status = :status where model_id = :id", status=status, id=server.find(name, 1).source.split("/")[-1])  # fmt: skip
    answer = server.alias(name, "staging", 1)
    assert answer.status_code == 403
    assert f"is {reason}" in answer.json()["message"]


def test_10_a_version_in_production_that_vanishes_from_the_database_is_reported_in_one_pass(server: Server) -> None:
    name, serve = in_production(server), Serving()
    yard = server.context(name, serve)
    reconcile(yard, name)
    server.sql("delete from model_version_tags where name = :name and version = 1", name=name)
    server.sql("delete from registered_model_aliases where name = :name", name=name)
    server.sql("delete from model_versions where name = :name and version = 1", name=name)
    acted = reconcile(yard, name).acted
    assert f"{name}/1, which holds 'production', is lost" in acted[0]
    assert any(isinstance(row.event, Lost) for row in server.ledger().entries(name))
    assert reconcile(yard, name).acted == []
    assert server.ledger().verify() > 0
