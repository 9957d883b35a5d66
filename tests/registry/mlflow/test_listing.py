"""What a registry holds is seen whatever its tags say and however a model is called: by a client and inside a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersionTag

from registry.errors import InputError, NotFoundError
from registry.mlflow.server.store import InsideStore
from registry.mlflow.store import MlflowStore
from registry.refs import parse_ref

ODD = ["'", '"', "'\"", "`", "%", "_", "\\", "''", '""', " ", ";", "--", " OR 1=1", "\u00e9", "\u0301", "\u4e2d", "#", "?", "&", "=", "<", "(", "'='", "\n"]  # fmt: skip


@pytest.fixture(params=["client", "inside"])
def store(request: pytest.FixtureRequest, stores: Any, monkeypatch: pytest.MonkeyPatch) -> MlflowStore | InsideStore:
    monkeypatch.setattr("registry.mlflow.store.connect", lambda uri: uri)
    return MlflowStore(stores.uri) if request.param == "client" else InsideStore(stores.versions, stores.runs)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from(ODD), min_size=1, max_size=4))
def test_a_model_of_any_name_is_listed_with_all_its_versions_and_no_others(store: Any, stores: Any, parts: list[str]) -> None:
    name = stores.model(stores.name("hand", "x".join(parts) + "x"), versions=3)
    stores.model(stores.name("hand", "".join(letter for part in parts for letter in part if letter.isalnum())))
    stores.versions.delete_model_version(name, "2")
    assert [(version.model, version.version) for version in store.versions(name)] == [(name, 1), (name, 3)]
    assert name in store.models()
    assert name in store.snapshot()


def test_a_name_that_no_reference_can_hold_is_answered_in_one_line() -> None:
    with pytest.raises(InputError, match=r"expected NAME, NAME/VERSION or NAME@ALIAS"):
        parse_ref('it\'s a "hand"/1')


@pytest.mark.parametrize("marked", [(), (1,), (2,), (1, 2, 3)])
def test_no_tag_that_anybody_may_set_hides_a_model(store: Any, stores: Any, marked: tuple[int, ...]) -> None:
    name = stores.model(stores.name(), versions=3)
    store.set_alias(name, "production", 2)
    stores.call_prompt(name, *marked)
    for key in ("mlflow.prompt.text", "mlflow.domain", "modelyard.stage"):
        stores.versions.set_model_version_tag(name, "2", ModelVersionTag(key, "archived"))
    client = MlflowClient(stores.uri, stores.uri)
    assert name not in {model.name for model in client.search_registered_models()}, "MLflow's own search hides it"
    assert [version.version for version in store.versions(name)] == [1, 2, 3]
    assert name in store.models()
    assert store.snapshot()[name].aliases == store.aliases(name) == {"production": 2}


def test_a_prompt_is_no_model(store: Any, stores: Any) -> None:
    name = stores.name("greeting")
    stores.versions.create_registered_model(name)
    stores.call_prompt(name)
    assert name not in store.models(), "without a version"
    stores.versions.create_model_version(name, source="prompt-template")
    stores.call_prompt(name, 1)
    assert name not in store.models()
    assert name not in store.snapshot()


def test_a_model_that_is_not_there_is_said_to_be_missing(store: Any, stores: Any) -> None:
    for name in (stores.name("nobody"), stores.name("no'body"), stores.name("gone")):
        if name.startswith("gone"):
            stores.model(name)
            stores.versions.delete_registered_model(name)
        with pytest.raises(NotFoundError, match="is not registered"):
            store.versions(name)


def test_a_model_without_a_version_has_none(store: Any, stores: Any) -> None:
    name = stores.model(stores.name(), versions=0)
    assert store.versions(name) == []
    assert name in store.models()
