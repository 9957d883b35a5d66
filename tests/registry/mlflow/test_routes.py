"""Every route of MLflow that changes something is guarded, or written down with the reason why it need not be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from flask import Flask

from registry.mlflow.server.guard import GUARDED as METHODS
from registry.mlflow.server.guard import STREAMED
from registry.mlflow.server.routes import GUARDED, HARMLESS, bare, unknown_routes
from registry.mlflow.server.selftest import PROXIED, ROUTES, GuardError, check_routes

LISTING = (
    "import json; from mlflow.server import app, auth; from registry.mlflow.server.routes import routes_of; "
    "print(json.dumps(sorted(set(routes_of(app, auth.create_app(app))))))"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Every route of a server, with MLflow's logins too."""
    folder = tmp_path_factory.mktemp("routes")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder / 'auth.db'}\nadmin_username = admin\n"
        "admin_password = password-of-1234\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    variables = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of the test",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "password-of-1234",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    done = subprocess.run(
        [sys.executable, "-c", LISTING], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    return {(method, path) for method, path in json.loads(done.stdout)}


def test_every_route_that_changes_something_is_guarded_or_named_with_the_reason(served: set[tuple[str, str]]) -> None:
    assert unknown_routes(served) == []
    assert len([route for route in served if route[0] in {"POST", "PUT", "PATCH", "DELETE"}]) > 150


def test_every_entry_is_a_route_that_is_there(served: set[tuple[str, str]]) -> None:
    names = {f"{method} {path}" for method, path in served} | {"POST modelyard/runs"}
    assert set(GUARDED) <= names
    patterns = {pattern: re.escape("{}").join(pattern.split("{}")) for pattern in HARMLESS}
    assert [pattern for pattern, text in patterns.items() if not any(re.fullmatch(text, name) for name in names)] == []
    assert not [name for name in GUARDED if any(re.fullmatch(text, name) for text in patterns.values())]


def test_a_guarded_route_names_a_guarded_method_and_is_tried_by_the_self_test() -> None:
    guarded = {name for names in METHODS.values() for name in names} | set(STREAMED)
    assert set(GUARDED.values()) <= guarded
    tried = {f"{method} {bare(path)}" for method, path, _ in (*ROUTES, *PROXIED)}
    tried = {re.sub(r"m-0{32}|modelyard-self-test", "{}", name).replace("tags/k", "tags/{}") for name in tried}
    need_a_bucket_or_a_run = {name for name in GUARDED if "/mpu/" in name or "upload" in name}
    assert set(GUARDED) - tried <= need_a_bucket_or_a_run | {"POST mlflow/model-versions/create"}


def test_a_route_of_another_release_keeps_the_server_from_starting() -> None:
    flask = Flask("newer")
    flask.add_url_rule("/ajax-api/4.0/mlflow/registered-models/<name>/swap", "swap", lambda: "", methods=["POST"])
    with pytest.raises(GuardError, match=r"POST mlflow/registered-models/\{\}/swap"):
        check_routes(flask, None)


@pytest.mark.parametrize("prefix", ["/api/2.0/", "/ajax-api/3.0/", "/yard/api/2.0/", "/yard/ajax-api/2.0/", "/api/2.0"])
def test_a_prefix_does_not_make_another_route(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MLFLOW_STATIC_PREFIX", "/yard/")
    assert bare(f"{prefix}mlflow/runs/delete") == "mlflow/runs/delete"


def test_reading_is_no_change() -> None:
    assert unknown_routes([("GET", "mlflow/new"), ("HEAD", "mlflow/new"), ("OPTIONS", "x")]) == []
    assert unknown_routes([("TRACE", "mlflow/new"), ("POST", "mlflow/runs/deleted")]) == ["POST mlflow/runs/deleted", "TRACE mlflow/new"]  # fmt: skip
