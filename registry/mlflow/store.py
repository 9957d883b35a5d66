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

from registry.errors import IntegrityError, shorten
from registry.files import storing
from registry.mlflow.connection import connect, mapping_errors, unreachable
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
            with storing(into):
                into.mkdir(parents=True, exist_ok=True)
                folder = Path(download_artifacts(uri, dst_path=str(into), tracking_uri=self.uri))
        except NoConnectionError as error:
            raise unreachable(self.uri, error) from error
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
        with mapping_errors(self.uri, subject):
            return call()
