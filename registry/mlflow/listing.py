"""What an MLflow registry holds, whatever its tags say and however its models are called.

MLflow's searches leave out a model, and every version of it, that anybody marked as a prompt by a tag; and they take a
name as a piece of a filter, whose grammar has no escape for quotes. So a search is believed only where it shows what the
model itself, asked for by its name, says to be there. A client and a server's own store answer to the same methods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Protocol, TypeVar

from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.store.entities import PagedList

T = TypeVar("T")

PROMPT_SOURCE = "prompt-template"
"""What MLflow writes as the source of a prompt's version: it has no files."""

_PROMPTS = f"tag.`{IS_PROMPT_TAG_KEY}` = 'true'"
_SEARCHABLE = re.compile(r"[A-Za-z0-9_. -]+")
_MODELS, _VERSIONS = 1000, 10_000


class Registry(Protocol):
    """The part of a registry store that is read: a server's own, or a client's below `MlflowClient`."""

    @property
    def get_registered_model(self) -> Callable[[str], RegisteredModel]:
        """One model by its name."""
        ...

    @property
    def get_model_version(self) -> Callable[[str, str], MlflowVersion]:
        """One version by its number."""
        ...

    @property
    def search_registered_models(self) -> Callable[..., PagedList[RegisteredModel]]:
        """Models, without those that a tag calls prompts, unless the filter asks for these."""
        ...

    @property
    def search_model_versions(self) -> Callable[..., PagedList[MlflowVersion]]:
        """Versions, without those of models of which any version carries the tag."""
        ...


def read_pages(search: Callable[..., PagedList[T]], size: int) -> Generator[T]:
    """Everything that a search shows, page by page."""
    token: str | None = None
    while True:
        page = search(max_results=size, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def list_models(registry: Registry) -> list[RegisteredModel]:
    """Every model, also one that carries a prompt's tag; MLflow's prompts are none."""
    models = {model.name: model for model in read_pages(registry.search_registered_models, _MODELS)}
    marked = read_pages(partial(registry.search_registered_models, _PROMPTS), _MODELS)
    return [*models.values(), *(model for model in marked if model.name not in models and not is_prompt(model.latest_versions))]


def is_prompt(versions: Sequence[MlflowVersion] | None) -> bool:
    """Whether versions are those of a prompt: none has files, or there is none."""
    return all(version.source == PROMPT_SOURCE for version in versions or ())


def list_versions(registry: Registry, name: str) -> list[MlflowVersion]:
    """A model's versions, oldest first. Raises MLflow's own RESOURCE_DOES_NOT_EXIST where there is no such model."""
    registered = registry.get_registered_model(name)
    newest = max((int(version.version) for version in registered.latest_versions or ()), default=0)
    shown = _search_versions(registry, name) if _SEARCHABLE.fullmatch(name) else {}
    if newest not in shown:  # a search shows all of a model's versions or, where a tag hides them, none
        shown = {number: version for number in range(1, newest + 1) if (version := _get_version(registry, name, number))}
    return [shown[number] for number in sorted(shown)]


def _search_versions(registry: Registry, name: str) -> dict[int, MlflowVersion]:
    search = partial(registry.search_model_versions, f"name='{name}'", order_by=["version_number ASC"])
    return {int(version.version): version for version in read_pages(search, _VERSIONS) if version.name == name}


def _get_version(registry: Registry, name: str, number: int) -> MlflowVersion | None:
    """One version; None for one that was deleted."""
    try:
        return registry.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
