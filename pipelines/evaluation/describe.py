"""Keeping MLflow's pages of a model, its versions and their runs up to date with what is known of them."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from registry.errors import ModelyardError
from registry.promotion.state import fold
from registry.protocols import Descriptions, Ledger, Store
from registry.reports.describe import describe_model, describe_version
from registry.reports.describe_run import NOTE, describe_broken_run, describe_run
from registry.reports.markdown import merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.protocols import Entry
    from registry.records import ModelVersion
    from registry.spending import TrainingFailed

_RECENT_ROWS = 30
"""A promotion with its measurements and the version before it has fewer."""
_PLOTS = "plots"


def describe_recent(store: Store, ledger: Ledger, model: str) -> str:
    """Say in MLflow how the versions stand that something was decided or done about just now; why that failed, or ""."""
    try:
        recent = {row.event.version for row in ledger.entries(model)[-_RECENT_ROWS:]}
    except ModelyardError as error:
        return f"the description of {model} in MLflow could not be written: {error}"
    return describe_in_mlflow(store, ledger, model, recent)


def describe_in_mlflow(store: Store, ledger: Ledger, model: str, numbers: Collection[int]) -> str:
    """Bring the descriptions of a model, of these versions and of their runs up to date; why that failed, or "".

    It is a copy for people: what goes wrong with it changes nothing, and the next change writes it again.
    """
    if not isinstance(store, Descriptions):
        return ""
    try:
        entries = ledger.entries(model)
        for version in store.versions(model):
            if version.version in numbers:
                _describe_version(store, entries, version)
        _write(store, model, describe_model(entries, model))
    except ModelyardError as error:
        return f"the description of {model} in MLflow could not be written: {error}"
    return ""


def describe_broken(store: Store, run_id: str, event: TrainingFailed | None, *, resumable: bool) -> str:
    """Say on a run's page how it was broken off, and how it goes on; why that could not be written, or ""."""
    if not isinstance(store, Descriptions):
        return ""
    try:
        tags = store.run_tags(run_id)
        _note(store, run_id, tags, describe_broken_run(event, run_id, tags, resumable=resumable))
    except ModelyardError as error:
        return f"the page of run {run_id} in MLflow could not be written: {error}"
    return ""


def _describe_version(store: Descriptions, entries: Sequence[Entry], version: ModelVersion) -> None:
    """A version and its run. Behind a version that was promoted the run is closed: what it says stays."""
    tags, plots = dict[str, str](), list[str]()
    if version.run_id:
        with suppress(ModelyardError):  # it was deleted, or its files cannot be listed
            tags = store.run_tags(version.run_id)
            plots = store.run_files(version.run_id, _PLOTS)
    _write(store, version.model, describe_version(entries, version, tags, plots), version.version)
    if tags and version.identity not in fold(entries).backing:
        _note(store, version.run_id, tags, describe_run(entries, version, tags))


def _write(store: Descriptions, model: str, ours: str, version: int | None = None) -> None:
    text = merged(store.description(model, version), ours)
    if text is not None:
        store.describe(model, text, version)


def _note(store: Descriptions, run_id: str, tags: dict[str, str], ours: str) -> None:
    text = merged(tags.get(NOTE, ""), ours) if ours else None
    if text is not None:
        store.note_run(run_id, text)
