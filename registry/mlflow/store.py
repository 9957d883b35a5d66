"""The model registry of an MLflow server, behind our protocols."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from requests.exceptions import ConnectionError as NoConnectionError

from registry.errors import IntegrityError, ModelyardError, NotFoundError, UnavailableError, shorten
from registry.mlflow.connection import connect
from registry.records import ModelVersion

_PAGE = 100
_DOWNLOAD_NOTE = "registered_model_meta"  # the client writes it beside what it downloads; it is no part of the model
T = TypeVar("T")


class MlflowStore:
    """Reads and moves what an MLflow server's registry holds. Nothing is cached."""

    def __init__(self, uri: str) -> None:
        """Connect to a server; raises UnavailableError when it does not answer."""
        self.uri = connect(uri)
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def models(self) -> list[str]:
        """Every registered model's name, sorted."""
        names: list[str] = []
        token: str | None = None
        while True:
            page = self._ask("models", partial(self._client.search_registered_models, max_results=_PAGE, page_token=token))
            names += [model.name for model in page]
            token = page.token
            if not token:
                return sorted(names)

    def versions(self, model: str) -> list[ModelVersion]:
        """A model's versions, oldest first."""
        quoted = model.replace("'", "")
        self._ask(f"model '{model}'", lambda: self._client.get_registered_model(model))
        found = self._ask(
            f"model '{model}'", lambda: self._client.search_model_versions(f"name='{quoted}'", max_results=10_000)
        )
        versions = [
            ModelVersion(
                model, int(one.version), int(one.creation_timestamp), one.source or "", one.run_id or "", dict(one.tags)
            )
            for one in found
        ]
        return sorted(versions, key=lambda version: version.version)

    def aliases(self, model: str) -> dict[str, int]:
        """Alias → version. `search_model_versions` would answer with none on SQL stores."""
        found = self._ask(f"model '{model}'", lambda: self._client.get_registered_model(model))
        return {alias: int(version) for alias, version in found.aliases.items()}

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        self._ask(f"{model}/{version}", lambda: self._client.set_registered_model_alias(model, alias, str(version)))

    def delete_alias(self, model: str, alias: str) -> None:
        """Remove an alias, if it is there."""
        self._ask(f"model '{model}'", lambda: self._client.delete_registered_model_alias(model, alias))

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """Download a version's files."""
        uri = f"models:/{version.model}/{version.version}"
        try:
            into.mkdir(parents=True, exist_ok=True)
            folder = Path(download_artifacts(uri, dst_path=str(into), tracking_uri=self.uri))
        except NoConnectionError as error:
            raise _unreachable(self.uri, error) from error
        except (MlflowException, OSError) as error:
            raise IntegrityError(
                version.ref, f"its files cannot be read ({shorten(error, 120)})", "register it again"
            ) from error
        (folder / _DOWNLOAD_NOTE).unlink(missing_ok=True)
        return folder

    def annotate(self, version: ModelVersion, tags: dict[str, str]) -> None:
        """Set tags on a version."""
        number = str(version.version)
        for key, value in tags.items():
            self._ask(str(version.ref), partial(self._client.set_model_version_tag, version.model, number, key, value))

    def _ask(self, subject: str, call: Callable[[], T]) -> T:
        """Make a call; turn MLflow's errors into ours."""
        try:
            return call()
        except NoConnectionError as error:
            raise _unreachable(self.uri, error) from error
        except MlflowException as error:
            raise _explain(self.uri, subject, error) from error


def _unreachable(uri: str, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"MLflow server {uri}", f"stopped answering ({type(error).__name__})", "start it with `modelyard up`"
    )


def _explain(uri: str, subject: str, error: MlflowException) -> ModelyardError:
    """One of ours for one of theirs."""
    if error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return NotFoundError(subject, "is not registered", "see `modelyard status` for what is")
    if "API request to" in error.message:
        return _unreachable(uri, error)
    return ModelyardError(subject, f"MLflow answered: {shorten(error.message, 200)}", "see the server's log")
