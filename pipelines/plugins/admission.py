"""`mlflow server --app-name modelyard`: MLflow's own server with our gates inside. `modelyard-auth` is the same with logins.

Start it as MLflow is started, with `MODELYARD_HOME` (and `MODELYARD_LEDGER_URL`, where it is not the home's file) set. A
server whose guards do not hold in a self-test does not start.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from registry.records import Actor

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from registry.mlflow.server.admission import Admission

NOBODY = Actor("unknown, over MLflow")


def create_app(app: Flask | None = None) -> Any:
    """The server without logins: whoever reaches it may ask, and evidence decides."""
    return _create(app, login=False)


def create_app_with_login(app: Flask | None = None) -> Any:
    """The server with MLflow's basic-auth: who asked is recorded."""
    return _create(app, login=True)


def _create(app: Flask | None, *, login: bool) -> Any:
    from mlflow.server import app as mlflow_app

    from registry.mlflow.server.feed import add_feed
    from registry.mlflow.server.selftest import check_guards, check_routes
    from registry.mlflow.server.store import server_stores

    refuse_workspaces()
    flask_app = app or mlflow_app
    admission = guarded(_user if login else lambda: NOBODY)
    if login:
        from mlflow.server import auth

        served = auth.create_app(flask_app)
    else:
        served = flask_app
        if os.environ.get("_MLFLOW_SGI_NAME") == "uvicorn":
            from mlflow.server.fastapi_app import create_fastapi_app

            served = create_fastapi_app(flask_app)
    check_guards(admission, flask_app)
    check_routes(flask_app, served)
    add_feed(flask_app, server_stores()[1], _administers if login else lambda: True)
    admission.protected.warm()
    return served


def refuse_workspaces() -> None:
    """End where MLflow's workspaces are on, read as MLflow itself reads the setting; see docs/workspaces.md."""
    from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES

    try:
        enabled = MLFLOW_ENABLE_WORKSPACES.get()
    except ValueError as error:
        raise SystemExit(f"modelyard: {error}") from error
    if enabled:
        raise SystemExit(
            f"modelyard: MLflow's workspaces are on ({MLFLOW_ENABLE_WORKSPACES.name}), and the ledger cannot tell two models "
            "of one name apart: start the server without --enable-workspaces, one for each team (docs/workspaces.md)"
        )


def guarded(actor: Callable[[], Actor]) -> Admission:
    """Guard the stores of this process."""
    from pipelines.home import Home
    from pipelines.promotion.assemble import guarded_context
    from registry.mlflow.server.admission import Admission
    from registry.mlflow.server.guard import guard, guard_direct_artifacts
    from registry.mlflow.server.store import InsideStore, server_stores
    from registry.promotion.context import PromotionContext
    from registry.settings import read_settings

    home = Home(read_settings())
    ledger, (versions, runs, artifacts) = home.ledger(), server_stores()
    store = InsideStore(versions, runs)
    context = PromotionContext(store, ledger, home.leases(ledger))

    def context_of(model: str) -> PromotionContext:
        return guarded_context(context, home, ledger.entries(model))

    admission = Admission(store, ledger, context_of, actor)
    guard(admission, versions, runs, artifacts)
    guard_direct_artifacts(admission)
    return admission


def _user() -> Actor:
    """The user of the request that is being answered, whom basic-auth has let in already."""
    from flask import has_request_context
    from mlflow.server import auth
    from werkzeug.datastructures import Authorization

    login = auth.authenticate_request() if has_request_context() else None
    if isinstance(login, Authorization) and login.username:
        return Actor(login.username, proven=True)
    return NOBODY


def _administers() -> bool:
    """Whether the request's user may see every run: the feed tells of all experiments at once."""
    from mlflow.server import auth

    return bool(auth.sender_is_admin())
