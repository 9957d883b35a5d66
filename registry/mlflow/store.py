"""The model registry of an MLflow server, behind our protocols."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.exceptions import MlflowException
from mlflow.tracking._model_registry.client import ModelRegistryClient

from registry.errors import IntegrityError, NotFoundError, StorageError, shorten
from registry.files import disk_full_message, storing
from registry.mlflow.connection import connect, is_away, mapping_errors, unreachable
from registry.mlflow.listing import list_models, list_versions, read_pages
from registry.promotion.tags import STAGE_TAG
from registry.records import ModelVersion, Snapshot
from registry.stages import Stage

T = TypeVar("T")


class MlflowStore:
    """Reads and moves what an MLflow server's registry holds. Nothing is cached."""

    def __init__(self, uri: str) -> None:
        """Connect to a server; raises UnavailableError when it does not answer."""
        self.uri = connect(uri)
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        # MlflowClient answers that a model is not registered where anybody marked it as a prompt; what is below it does not.
        self._registry = ModelRegistryClient(uri, uri).store

    def models(self) -> list[str]:
        """Every registered model's name, sorted."""
        return sorted(model.name for model in self._ask("models", partial(list_models, self._registry)))

    def versions(self, model: str) -> list[ModelVersion]:
        """A model's versions, oldest first."""
        versions = self._ask(f"model '{model}'", partial(list_versions, self._registry, model))
        return [to_model_version(version) for version in versions]

    def aliases(self, model: str) -> dict[str, int]:
        """Alias → version. `search_model_versions` would answer with none on SQL stores."""
        registered = self._ask(f"model '{model}'", lambda: self._registry.get_registered_model(model))
        return {alias: int(version) for alias, version in registered.aliases.items()}

    def unready(self, version: ModelVersion) -> str | None:
        """Why a version is not whole."""
        with mapping_errors(self.uri, version.ref):
            return unready_model(version, self._client.get_logged_model)

    def snapshot(self) -> dict[str, Snapshot]:
        """Every model's aliases, in two searches: of the models, and of the versions that carry a stage's tag.

        The tags save asking for every version; they are not trusted. A version that carries none is asked for by itself.
        """
        search = partial(self._registry.search_model_versions, f"tag.`{STAGE_TAG}` != '{Stage.ARCHIVED}'")
        with ThreadPoolExecutor(1) as beside:  # while the server looks for one, we read the other
            future = beside.submit(lambda: self._ask("versions", lambda: list(read_pages(search, 10_000))))
            models = self._ask("models", partial(list_models, self._registry))
            aliases_of = {model.name: dict(model.aliases) for model in models}
            tagged = future.result()
        created: dict[str, dict[int, int]] = defaultdict(dict)
        for version in tagged:
            created[version.name][int(version.version)] = int(version.creation_timestamp)
        return {
            name: Snapshot({alias: int(version) for alias, version in aliases.items()}, created[name])
            for name, aliases in aliases_of.items()
        }

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        self._ask(f"{model}/{version}", lambda: self._registry.set_registered_model_alias(model, alias, str(version)))

    def delete_alias(self, model: str, alias: str) -> None:
        """Remove an alias, if it is there."""
        self._ask(f"model '{model}'", lambda: self._registry.delete_registered_model_alias(model, alias))

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """Download a version's files.

        By the address of the files and not by `models:/NAME/VERSION`, which MLflow 3.17 asks the process's registry for.
        """
        at = (version.model, str(version.version))
        try:
            uri = self._ask(str(version.ref), partial(self._registry.get_model_version_download_uri, *at))
            with storing(into):
                into.mkdir(parents=True, exist_ok=True)
                folder = Path(download_artifacts(uri, dst_path=str(into), tracking_uri=self.uri))
        except (NotFoundError, MlflowException, OSError) as error:
            if is_away(error):
                raise unreachable(self.uri, error) from error
            if full := disk_full_message(str(error)):
                raise StorageError(
                    into, f"could not be written ({full.lower()})", "free some space, then run it again"
                ) from error
            raise IntegrityError(
                version.ref, f"its files cannot be read ({shorten(error, 120)})", "register it again"
            ) from error
        return folder

    def annotate(self, version: ModelVersion, tags: dict[str, str]) -> None:
        """Set tags on a version; an empty text removes one."""
        at = (version.model, str(version.version))
        for key, value in tags.items():
            if value:
                self._ask(str(version.ref), partial(self._registry.set_model_version_tag, *at, ModelVersionTag(key, value)))
            elif key in version.tags:
                self._ask(str(version.ref), partial(self._registry.delete_model_version_tag, *at, key))

    def description(self, model: str, version: int | None = None) -> str:
        """A version's description, or the model's."""
        if version is None:
            return self._ask(f"model '{model}'", lambda: self._registry.get_registered_model(model).description or "")
        return self._ask(f"{model}/{version}", lambda: self._registry.get_model_version(model, str(version)).description or "")

    def describe(self, model: str, text: str, version: int | None = None) -> None:
        """Replace a description."""
        if version is None:
            self._ask(f"model '{model}'", lambda: self._registry.update_registered_model(model, text))
        else:
            self._ask(f"{model}/{version}", lambda: self._registry.update_model_version(model, str(version), text))

    def run_tags(self, run_id: str) -> dict[str, str]:
        """A run's tags; its name is the tag `mlflow.runName`."""
        return self._ask(f"run '{run_id}'", lambda: dict(self._client.get_run(run_id).data.tags))

    def run_files(self, run_id: str, folder: str) -> list[str]:
        """The paths of a run's files in one of its folders."""
        return [file.path for file in self._ask(f"run '{run_id}'", lambda: self._client.list_artifacts(run_id, folder))]

    def note_run(self, run_id: str, text: str) -> None:
        """Replace the text on a run's page."""
        self._ask(f"run '{run_id}'", lambda: self._client.set_tag(run_id, "mlflow.note.content", text))

    def _ask(self, subject: str, call: Callable[[], T]) -> T:
        """Make a call; turn MLflow's errors into ours."""
        with mapping_errors(self.uri, subject):
            return call()


def to_model_version(version: MlflowVersion) -> ModelVersion:
    """MLflow's record of a version as ours."""
    return ModelVersion(
        model=version.name,
        version=int(version.version),
        created_ms=int(version.creation_timestamp),
        source=version.source or "",
        run_id=version.run_id or "",
        tags=dict(version.tags),
        status=str(version.status or "READY"),
    )


def logged_model_id(source: str) -> str | None:
    """The id of the logged model that a version was registered from; None for one that has none."""
    model_id = source.removeprefix("models:/").partition("/")[0]
    return model_id if source.startswith("models:/m-") else None


def unready_model(version: ModelVersion, get_logged_model: Callable[[str], Any]) -> str | None:
    """Why a version is not whole: itself, or the logged model that it was made from, is not ready."""
    if version.status != "READY":
        return f"its status in MLflow is {version.status}"
    if (model_id := logged_model_id(version.source)) is None:
        return None
    try:
        status = str(getattr(get_logged_model(model_id).status, "value", "UNKNOWN"))
    except MlflowException:
        return f"the logged model {model_id} behind it is gone"
    return None if status == "READY" else f"the logged model {model_id} behind it is {status}"
