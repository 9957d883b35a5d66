"""What reaches a promoted version by another door: uploads past the proxy, tags that hide it, versions that come back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.exceptions import MlflowException
from mlflow.server import handlers

from registry.mlflow.server.admission import Admission
from registry.mlflow.server.guard import guard_direct_artifacts
from registry.mlflow.server.protected import Protected
from registry.mlflow.server.store import InsideStore

HIDING = ("mlflow.prompt.is_prompt", "mlflow.prompt.text", "MLflow.Prompt.is_prompt")


def test_an_upload_past_the_proxy_is_judged_by_where_it_ends(
    stores: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `upload-artifact` and presigned addresses do, for a run whose artifacts the server does not proxy."""
    monkeypatch.setattr(handlers, "_get_artifact_repository_for_uri", handlers._get_artifact_repository_for_uri)
    run, kept = stores.run(), tmp_path / "kept"
    kept.mkdir()
    _, admission = stores.promoted(f"file://{kept}", run)
    guard_direct_artifacts(admission)
    (tmp_path / "plot.png").write_text("1")
    beside = handlers._get_artifact_repository_for_uri(stores.runs.get_run(run).info.artifact_uri)
    beside.log_artifact(str(tmp_path / "plot.png"), "plots")
    (tmp_path / "plot.png").write_text("2")
    with pytest.raises(MlflowException, match=r"a run whose file 'plot.png' was replaced"):
        beside.log_artifact(str(tmp_path / "plot.png"), "plots")
    with pytest.raises(MlflowException, match="may not be changed"):
        beside.delete_artifacts("plots")
    for uri in (f"file://{kept}", str(kept), f"{tmp_path}/x/../kept/below", f"file://{tmp_path}/%6bept"):
        with pytest.raises(MlflowException, match="its files are what was proven"):
            handlers._get_artifact_repository_for_uri(uri).log_artifact(str(tmp_path / "plot.png"))
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize("key", HIDING)
def test_no_tag_hides_a_model_and_one_that_does_may_be_taken_away(
    stores: Any, guarding: Callable[[Admission], None], key: str
) -> None:
    name, admission = stores.promoted(f"{stores.root}/nothing")
    unknown, prompt = stores.model(stores.name()), stores.name("greeting")
    guarding(admission)
    for model in (name, unknown):
        tries = (
            lambda model=model: stores.versions.set_registered_model_tag(model, RegisteredModelTag(key, "true")),
            lambda model=model: stores.versions.set_model_version_tag(model, "1", ModelVersionTag(key, "true")),
            lambda model=model: stores.versions.create_model_version(model, "s3://x", tags=[ModelVersionTag(key, "true")]),
        )
        for hide in tries:
            with pytest.raises(MlflowException, match=f"'{model}' is a model, and tag '{key}' would hide it"):
                hide()
    stores.versions.delete_registered_model_tag(name, key)
    stores.versions.create_registered_model(prompt, tags=[RegisteredModelTag(key, "true")])
    stores.versions.create_model_version(prompt, "prompt-template", tags=[ModelVersionTag(key, "true")])
    stores.versions.set_registered_model_tag(prompt, RegisteredModelTag(key, "true"))


def test_a_promoted_version_that_comes_back_is_protected_again(stores: Any) -> None:
    name, admission = stores.promoted(f"{stores.root}/somewhere")
    at, inside = [0.0], InsideStore(stores.versions, stores.runs)
    protected = Protected(inside, admission.ledger, lambda: at[0])
    stores.versions.rename_registered_model(name, f"{name}-away")
    assert protected.where(lambda _: True) == []
    stores.versions.rename_registered_model(f"{name}-away", name)
    assert protected.where(lambda _: True) == [], "not asked for at each request"
    at[0] += 10
    assert [label for label, _ in protected.where(lambda _: True)] == [f"{name}/1"]
