"""Putting admission's decisions before the methods of a server's stores, on these very objects."""

from __future__ import annotations

import functools
import inspect
import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.server import handlers

from registry.errors import BusyError, ModelyardError, shorten
from registry.mlflow.server.admission import Admission, PendingPromotion
from registry.mlflow.server.closed_runs import ClosedRuns
from registry.mlflow.server.refusal import MARK, refuse

GUARDED = {
    "versions": (
        "set_registered_model_alias",
        "delete_registered_model_alias",
        "transition_model_version_stage",
        "set_model_version_tag",
        "delete_model_version_tag",
        "set_registered_model_tag",
        "create_model_version",
        "create_registered_model",
        "delete_model_version",
        "rename_registered_model",
        "delete_registered_model",
    ),
    "runs": ("delete_run", "create_experiment", "delete_experiment", "delete_logged_model", "finalize_logged_model"),
    "closed": (
        "log_metric",
        "log_param",
        "log_batch",
        "set_tag",
        "delete_tag",
        "update_run_info",
        "record_logged_model",
        "log_inputs",
        "log_outputs",
        "log_logged_model_params",
        "set_logged_model_tags",
        "delete_logged_model_tag",
    ),
    "artifacts": ("log_artifact", "log_artifacts", "delete_artifacts"),
}
"""The methods that are guarded, in every release that is supported; a release without one of them is not.

`closed` are those of the tracking store that matter for runs behind a promoted version only.
"""

STREAMED = (
    "log_artifact_from_stream",
    "log_artifact_from_async_stream",
    "create_multipart_upload",
    "complete_multipart_upload",
    "create_presigned_upload_url",
)
"""Further ways to write an artifact, which only some repositories have."""


def guard(admission: Admission, versions: Any, runs: Any, artifacts: Any | None) -> None:
    """Put the decisions before the methods of a server's stores, on these very objects."""
    closed = ClosedRuns(runs, admission.protected)
    for name in GUARDED["versions"]:
        _wrap(admission, versions, name, getattr(admission, name))
    for name in GUARDED["runs"]:
        _wrap(admission, runs, name, getattr(admission, name))
    for name in GUARDED["closed"]:
        _wrap(admission, runs, name, getattr(closed, name))
    if artifacts is not None:
        guard_artifacts(admission, artifacts)


def guard_artifacts(admission: Admission, artifacts: Any) -> Any:
    """Put the decisions before the methods that write or delete in an artifact repository, and return it."""
    for name in (*GUARDED["artifacts"], *STREAMED):
        if hasattr(artifacts, name):
            _wrap(admission, artifacts, name, functools.partial(_check_artifact, admission, artifacts, name))
    return artifacts


def guard_direct_artifacts(admission: Admission) -> None:
    """Guard the repositories that a server makes for a run whose artifacts it does not proxy."""
    make = handlers._get_artifact_repository_for_uri  # noqa: SLF001 what its own routes use

    @functools.wraps(make)
    def guarded(artifact_uri: str) -> Any:
        return guard_artifacts(admission, make(artifact_uri))

    handlers._get_artifact_repository_for_uri = guarded  # noqa: SLF001


def _wrap(admission: Admission, store: Any, name: str, check: Callable[..., Any]) -> None:
    original = getattr(store, name)
    signature = inspect.signature(original)

    @functools.wraps(original)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if admission.closed:
            refuse(f"self-test of {name}")
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        begun = _decide(check, bound.arguments)
        try:
            result = original(*args, **kwargs)
        except Exception:
            if begun is not None:
                begun.undo()
            raise
        if begun is not None:
            begun.finish()
        return result

    setattr(store, name, guarded)


def _decide(check: Callable[..., Any], given: Mapping[str, Any]) -> PendingPromotion | None:
    """Decide; whatever keeps us from deciding is a refusal."""
    try:
        return check(**given)
    except MlflowException:
        raise
    except BusyError as error:
        raise MlflowException(MARK + str(error), error_code=TEMPORARILY_UNAVAILABLE) from error
    except ModelyardError as error:
        refuse(str(error))
    except Exception as error:  # noqa: BLE001 fail closed: a gate that breaks is a gate that is shut
        refuse(f"admission cannot decide ({type(error).__name__}: {shorten(error, 200)}); see the server's log")


def _check_artifact(admission: Admission, artifacts: Any, name: str, artifact_path: str | None = None, **given: Any) -> None:
    """Which path a method of an artifact repository writes to or deletes."""
    root, folder = artifacts.artifact_uri, artifact_path or ""
    if name in {"log_artifacts", "delete_artifacts"}:
        admission.delete_artifacts(root, folder)
        return
    if name == "create_presigned_upload_url":
        folder, file = posixpath.split(folder)
    else:
        file = str(given.get("artifact_file_name") or given.get("local_file") or "")
    for path in {posixpath.join(folder, posixpath.basename(file)), posixpath.join(folder, file.lstrip("/"))}:
        admission.write_artifact(root, path, functools.partial(_exists, artifacts, folder, posixpath.basename(file)))


def _exists(artifacts: Any, folder: str, file: str) -> bool:
    """Whether a repository has a file already."""
    names = {posixpath.basename(listed.path) for listed in artifacts.list_artifacts(folder or None)}
    return not file or file in names
