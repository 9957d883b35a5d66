"""What admission builds on inside MLflow: a release that moved any of it is named here, not found out in production."""

from __future__ import annotations

import inspect

import mlflow
import pytest
from mlflow.server import artifact_router, handlers
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Versions
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

from registry.mlflow.server.admission import Admission
from registry.mlflow.server.closed_runs import ClosedRuns
from registry.mlflow.server.guard import GUARDED, STREAMED
from registry.mlflow.server.selftest import PROXIED, ROUTES

TESTED = "3.17"
STORES = {"versions": Versions, "runs": Runs, "closed": Runs, "artifacts": LocalArtifactRepository}
NEW = "MLflow's internals have moved: read registry/mlflow/server/admission.py against this release before allowing it"


def test_this_is_the_release_that_admission_was_tested_with() -> None:
    assert mlflow.__version__.startswith(TESTED), NEW


@pytest.mark.parametrize(("store", "name"), [(store, name) for store, names in GUARDED.items() for name in names])
def test_a_guarded_method_is_there_and_takes_what_its_decision_asks_for(store: str, name: str) -> None:
    method = getattr(STORES[store], name, None)
    assert method is not None, f"{NEW}: {name} is gone"
    given = set(inspect.signature(method).parameters) - {"self"}
    if store == "artifacts":
        assert "artifact_path" in given, NEW
        return
    decision = inspect.signature(getattr(ClosedRuns if store == "closed" else Admission, name))
    asked = {
        parameter.name for parameter in decision.parameters.values() if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    } - {"self"}
    assert asked <= given, f"{NEW}: {name} takes {sorted(given)}, not {sorted(asked)}"


def test_every_way_to_write_an_artifact_is_known() -> None:
    writers = {name for name, _ in inspect.getmembers(LocalArtifactRepository, inspect.isfunction) if name.startswith(("log_artifact", "delete_", "create_m", "create_p", "complete_"))}  # fmt: skip
    assert writers <= {*GUARDED["artifacts"], *STREAMED}, NEW


def test_every_method_that_moves_or_removes_in_the_registry_is_known() -> None:
    verbs = ("set_", "delete_", "rename_", "transition_", "copy_", "create_model", "create_registered")
    harmless = {"delete_webhook", "delete_registered_model_tag", "copy_model_version"}  # copying creates a version
    writers = {name for name, _ in inspect.getmembers(Versions, inspect.isfunction) if name.startswith(verbs)}
    for name in [name for name in writers if "_prompt" in name]:  # each calls the method for models on the same object
        assert f"self.{name.replace('prompt_version', 'model_version').replace('prompt', 'registered_model')}(" in inspect.getsource(getattr(Versions, name)), NEW  # fmt: skip
        writers.remove(name)
    assert writers - harmless <= set(GUARDED["versions"]), f"{NEW}: {sorted(writers - harmless - set(GUARDED['versions']))}"


def test_the_server_keeps_its_stores_where_they_are_guarded() -> None:
    for name in ("_get_model_registry_store", "_get_tracking_store", "_get_artifact_repo_mlflow_artifacts"):
        assert callable(getattr(handlers, name, None)), f"{NEW}: {name} is gone"
    assert "_get_artifact_repo_mlflow_artifacts" in inspect.getsource(artifact_router._get_artifact_repo), NEW
    assert len(ROUTES) + len(PROXIED) >= len(GUARDED["versions"]) + len(GUARDED["runs"]) - 1
