"""The model registry as MLflow's own server process sees it: its stores, asked directly, behind our protocols.

Nothing here goes over HTTP: a server that asks itself would wait for itself, and would need a password of its own.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from mlflow.exceptions import MlflowException
from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR, handlers
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import get_local_path_or_none

from registry.errors import IntegrityError, NotFoundError, shorten
from registry.mlflow.listing import is_prompt, list_models, list_versions
from registry.mlflow.server.addresses import address
from registry.mlflow.store import logged_model_id, to_model_version, unready_model
from registry.records import ModelVersion, Snapshot

_PROXIED = "mlflow-artifacts"
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Location:
    """What a version hangs on: its logged model, its runs, their experiment, and where its files and its runs' files lie."""

    model_id: str
    run_ids: frozenset[str]
    experiment_id: str
    address: str
    run_addresses: frozenset[str]


class InsideStore:
    """MLflow's stores in this process. Made before they are guarded, so its own writes pass."""

    def __init__(self, versions: Any, runs: Any) -> None:
        """`versions` is the model registry's store, `runs` the tracking store."""
        self._versions, self._runs = versions, runs
        self._set_alias, self._delete_alias = versions.set_registered_model_alias, versions.delete_registered_model_alias
        self._set_tag, self._delete_tag = versions.set_model_version_tag, versions.delete_model_version_tag

    def models(self) -> list[str]:
        """Every registered model's name, sorted."""
        return sorted(self.snapshot())

    def versions(self, model: str) -> list[ModelVersion]:
        """A model's versions, oldest first."""
        with _naming(model):
            return [to_model_version(version) for version in list_versions(self._versions, model)]

    def aliases(self, model: str) -> dict[str, int]:
        """Alias → version."""
        return {alias: int(version) for alias, version in self._model(model).aliases.items()}

    def snapshot(self) -> dict[str, Snapshot]:
        """Every model's aliases."""
        models = list_models(self._versions)
        return {model.name: Snapshot({alias: int(version) for alias, version in model.aliases.items()}, {}) for model in models}

    def unready(self, version: ModelVersion) -> str | None:
        """Why a version is not whole."""
        return unready_model(version, self._runs.get_logged_model)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        self._set_alias(model, alias, str(version))

    def delete_alias(self, model: str, alias: str) -> None:
        """Remove an alias."""
        self._delete_alias(model, alias)

    def annotate(self, version: ModelVersion, tags: dict[str, str]) -> None:
        """Set tags on a version; an empty text removes one."""
        from mlflow.entities.model_registry import ModelVersionTag

        for key, value in tags.items():
            if value:
                self._set_tag(version.model, str(version.version), ModelVersionTag(key, value))
            elif key in version.tags:
                self._delete_tag(version.model, str(version.version), key)

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """Copy a version's files."""
        into.mkdir(parents=True, exist_ok=True)
        try:
            uri = self._versions.get_model_version_download_uri(version.model, str(version.version))
            if urlparse(uri).scheme == _PROXIED:
                repo = handlers._get_artifact_repo_mlflow_artifacts()  # noqa: SLF001 what its own routes use
                folder = Path(repo.download_artifacts(proxied_path(uri), str(into)))
            else:
                folder = Path(get_artifact_repository(uri).download_artifacts("", str(into)))
        except (MlflowException, OSError) as error:
            why = f"its files cannot be read ({shorten(error, 120)})"
            raise IntegrityError(version.ref, why, "register it again") from error
        if not any(folder.rglob("*")):
            raise IntegrityError(version.ref, "its files are gone", "register it again")
        return folder

    def owns(self, uri: str) -> bool:
        """Whether an address lies inside the folder or bucket that this server keeps its artifacts in."""
        root = os.environ.get(ARTIFACTS_DESTINATION_ENV_VAR)
        return root is not None and f"{_plain(uri)}/".startswith(f"{_plain(root)}/")

    def is_prompt(self, model: str) -> bool:
        """Whether a registered model is one of MLflow's prompts: it carries their tag, and no version of it has files."""
        try:
            registered = self._model(model)
        except NotFoundError:
            return False
        return bool(registered._is_prompt()) and is_prompt(registered.latest_versions)  # noqa: SLF001 `tags` hides the tag

    def has_files(self, model: str) -> bool:
        """Whether a model is there and a version of it is one of a model, not of a prompt."""
        with suppress(NotFoundError):
            return not is_prompt(self._model(model).latest_versions)
        return False

    def location(self, version: ModelVersion) -> Location:
        """What a version hangs on."""
        uri = self._versions.get_model_version_download_uri(version.model, str(version.version))
        parts = urlparse(uri).path.strip("/").split("/")
        model_id = logged_model_id(version.source) or next((part for part in parts if _MODEL_ID.fullmatch(part)), "")
        experiment = proxied_path(uri).split("/")[0] if urlparse(uri).scheme == _PROXIED else ""
        run_ids = {version.run_id}
        with suppress(MlflowException):  # gone already: what is left is guarded by its address
            if model_id:
                logged = self._runs.get_logged_model(model_id)
                experiment = logged.experiment_id
                run_ids.add(logged.source_run_id or "")
        runs = [run for run_id in run_ids - {""} if (run := self._run(run_id))]
        experiment = experiment or next((run.info.experiment_id for run in runs), "")
        folders = frozenset(stored_address(run.info.artifact_uri) for run in runs)
        return Location(model_id, frozenset(run_ids - {""}), experiment, stored_address(uri), folders)

    def _run(self, run_id: str) -> Any | None:
        with suppress(MlflowException):
            return self._runs.get_run(run_id)
        return None

    def _model(self, name: str) -> Any:
        with _naming(name):
            return self._versions.get_registered_model(name)


@contextmanager
def _naming(model: str) -> Generator[None]:
    """A model that is not there, by its name."""
    try:
        yield
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise NotFoundError(f"model '{model}'", "is not registered", "see `modelyard status` for what is") from error
        raise


def stored_address(uri: str) -> str:
    """Where what MLflow calls by a URI lies, with the server's own artifacts looked up below their root."""
    if urlparse(uri).scheme != _PROXIED:
        return address(uri)
    root = os.environ.get(ARTIFACTS_DESTINATION_ENV_VAR, "")
    return address(f"{root.rstrip('/')}/{proxied_path(uri)}") if root else ""


def _plain(uri: str) -> str:
    """An address without another spelling: a local one as a path without links, any other without dots."""
    local = get_local_path_or_none(uri)
    return str(Path(local).resolve()) if local is not None else posixpath.normpath(uri)


def proxied_path(uri: str) -> str:
    """The path below the server's artifact root of an `mlflow-artifacts:` address, with or without a host in it."""
    path = urlparse(uri).path.lstrip("/")
    return path.removeprefix("api/2.0/mlflow-artifacts/artifacts/")


def server_stores() -> tuple[Any, Any, Any | None]:
    """This server process's model registry, its tracking store, and its artifact repository where it proxies artifacts."""
    artifacts = None
    if os.environ.get(ARTIFACTS_DESTINATION_ENV_VAR):
        artifacts = handlers._get_artifact_repo_mlflow_artifacts()  # noqa: SLF001 what its own routes use
    return handlers._get_model_registry_store(), handlers._get_tracking_store(), artifacts  # noqa: SLF001
