"""Keeping MLflow's pages of a model and its versions up to date with what is known of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from registry.errors import ModelyardError
from registry.protocols import Descriptions, Ledger, Store
from registry.reports.describe import describe_model, describe_version, merged

if TYPE_CHECKING:
    from registry.records import ModelVersion


def describe_in_mlflow(store: Store, ledger: Ledger, model: str, numbers: Collection[int]) -> str:
    """Bring the descriptions of a model and of these versions up to date; why that failed, or "".

    It is a copy for people: what goes wrong with it changes nothing, and the next change writes it again.
    """
    if not isinstance(store, Descriptions):
        return ""
    try:
        entries = ledger.entries(model)
        for version in store.versions(model):
            if version.version in numbers:
                _write(store, model, describe_version(entries, version, _run_of(store, version)), version.version)
        _write(store, model, describe_model(entries, model))
    except ModelyardError as error:
        return f"the description of {model} in MLflow could not be written: {error}"
    return ""


def _run_of(store: Descriptions, version: ModelVersion) -> dict[str, str]:
    """The tags of a version's run; none where that was deleted."""
    try:
        return store.run_tags(version.run_id) if version.run_id else {}
    except ModelyardError:
        return {}


def _write(store: Descriptions, model: str, ours: str, version: int | None = None) -> None:
    text = merged(store.description(model, version), ours)
    if text is not None:
        store.describe(model, text, version)
