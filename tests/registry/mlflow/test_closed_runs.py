"""A run behind a promoted version, and its logged model, keep saying what they said."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.entities import (
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelTag,
    Metric,
    Param,
    RunStatus,
    RunTag,
)  # fmt: skip
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from registry.errors import UnavailableError
from registry.mlflow.server.admission import Admission

VERSIONS = ("mlflow.modelVersions", '[{"name": "a"}]')
Closed = tuple[Any, str, str]


@pytest.fixture
def closed(stores: Any, guarding: Callable[[Admission], None]) -> Closed:
    """The guarded tracking store, the run behind a promoted version, and the logged model."""
    run = stores.run()
    model = stores.runs.create_logged_model(
        "0", "model", run, [LoggedModelTag("mine", "x"), LoggedModelTag(*VERSIONS)], [LoggedModelParameter("lr", "0.1")]
    )
    stores.runs.log_metric(run, Metric("top1", 0.9, 1, 0, model_id=model.model_id, dataset_name="d", dataset_digest="1"))
    _, admission = stores.promoted(model.artifact_location, run)
    guarding(admission)
    return stores.runs, run, model.model_id


def shown(store: Any, run: str, model: str) -> tuple[Any, ...]:
    """What a person sees of both."""
    held, logged = store.get_run(run), store.get_logged_model(model)
    inputs = (len(held.inputs.dataset_inputs), len(held.inputs.model_inputs), len(held.outputs.model_outputs))
    figures = {(metric.key, metric.dataset_digest): metric.value for metric in logged.metrics}
    info = (held.info.run_name, held.info.status, held.info.lifecycle_stage)
    return {key: str(value) for key, value in held.data.metrics.items()}, held.data.params, held.data.tags, info, inputs, logged.params, logged.tags, figures, logged.status  # fmt: skip


CHANGES: dict[str, Callable[[Any, str, str], object]] = {
    "metric": lambda store, run, _: store.log_metric(run, Metric("top1", 0.99, 5, 1)),
    "metric that was no number": lambda store, run, _: store.log_metric(run, Metric("odd", 1.0, 5, 1)),
    "batch": lambda store, run, _: store.log_batch(run, [Metric("new", 1, 5, 1), Metric("top1", 0.99, 5, 1)], [], []),
    "parameter": lambda store, run, _: store.log_param(run, Param("lr", "0.2")),
    "tag": lambda store, run, _: store.set_tag(run, RunTag("mine", "y")),
    "tag in a batch": lambda store, run, _: store.log_batch(run, [], [], [RunTag("mine", "y")]),
    "tag away": lambda store, run, _: store.delete_tag(run, "mine"),
    "name": lambda store, run, _: store.update_run_info(run, RunStatus.FINISHED, 9, "better"),
    "name by its tag": lambda store, run, _: store.set_tag(run, RunTag("mlflow.runName", "better")),
    "status": lambda store, run, _: store.update_run_info(run, RunStatus.FAILED, 9, None),
    "opened again": lambda store, run, _: store.update_run_info(run, RunStatus.RUNNING, None, None),
    "model": lambda store, run, _: store.record_logged_model(run, Model(artifact_path="m", run_id=run)),
    "inputs": lambda store, run, model: store.log_inputs(run, [], [LoggedModelInput(model)]),
    "outputs": lambda store, run, model: store.log_outputs(run, [LoggedModelOutput(model, 0)]),
    "deleted": lambda store, run, _: store.delete_run(run),
    "model's metric from another run": lambda store, _, model: store.log_metric(
        store.create_run("0", "eve", 1, [], "other").info.run_id,
        Metric("top1", 0.99, 9, 9, model_id=model, dataset_name="d", dataset_digest="1"),
    ),
    "model's parameter": lambda store, _, model: store.log_logged_model_params(model, [LoggedModelParameter("lr", "0.2")]),
    "model's tag": lambda store, _, model: store.set_logged_model_tags(model, [LoggedModelTag("mine", "y")]),
    "model's tag away": lambda store, _, model: store.delete_logged_model_tag(model, "mine"),
    "model's versions": lambda store, _, model: store.set_logged_model_tags(model, [LoggedModelTag(VERSIONS[0], "[]")]),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_promoted_version_was_made_from_is_not_rewritten(closed: Closed, what: str) -> None:
    before = shown(*closed)
    with pytest.raises(MlflowException, match=r"modelyard: .*/1 (is promoted|backs)") as refusal:
        CHANGES[what](*closed)
    assert refusal.value.error_code == "PERMISSION_DENIED"
    assert shown(*closed) == before


VALUES = st.sampled_from([0.9, 0.99, float("nan"), float("inf"), -1.0])
METRICS = st.builds(Metric, st.sampled_from(["top1", "odd", "new"]), VALUES, st.integers(0, 9), st.integers(-1, 9))
PARAMS = st.builds(Param, st.sampled_from(["lr", "new"]), st.sampled_from(["0.1", "0.2"]))
TAGS = st.builds(RunTag, st.sampled_from(["mine", "new", "mlflow.note.content"]), st.sampled_from(["x", "y"]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(METRICS, max_size=3), st.lists(PARAMS, max_size=1), st.lists(TAGS, max_size=2))
def test_whatever_batch_is_let_through_only_adds(
    closed: Closed, metrics: list[Metric], params: list[Param], tags: list[RunTag]
) -> None:
    store, run, _ = closed
    before = store.get_run(run).data
    with suppress(MlflowException):
        store.log_batch(run, metrics, params, tags)
    after = store.get_run(run).data
    for held, now in ((before.metrics, after.metrics), (before.params, after.params), (before.tags, after.tags)):
        assert {key: str(now[key]) for key in held} == {key: str(value) for key, value in held.items()}


def test_what_is_new_may_be_added_and_the_same_said_again(closed: Closed) -> None:
    store, run, model = closed
    store.log_batch(run, [Metric("bundle_mb", 3, 5, 0), Metric("top1", 0.9, 6, 0)], [Param("new", "1")], [RunTag("note", "x")])
    store.set_logged_model_tags(
        model, [LoggedModelTag("new", "1"), LoggedModelTag(VERSIONS[0], '[{"name": "b"}, {"name": "a"}]')]
    )
    assert store.get_run(run).data.metrics["bundle_mb"] == 3
    assert store.get_logged_model(model).tags["new"] == "1"


def test_a_run_that_trains_on_after_its_checkpoint_was_promoted_adds_steps_and_changes_none_until_it_ends(
    stores: Any, guarding: Callable[[Admission], None]
) -> None:
    run = stores.runs.create_run("0", "ada", 1, [], "training").info.run_id
    for step, loss in enumerate([0.9, 0.8, 0.7]):
        stores.runs.log_metric(run, Metric("loss", loss, step, step))
    guarding(stores.promoted(f"{stores.root}/checkpoint", run)[1])
    stores.runs.log_metric(run, Metric("loss", 0.6, 3, 3))
    stores.runs.log_batch(run, [Metric("loss", 0.5, 4, 4), Metric("loss", 0.8, 5, 1)], [], [])
    for step in (0, 1, 4):
        with pytest.raises(MlflowException, match="metric 'loss'"):
            stores.runs.log_metric(run, Metric("loss", 0.1, 9, step))
    stores.runs.update_run_info(run, RunStatus.FINISHED, 9, None)
    with pytest.raises(MlflowException, match="metric 'loss'"):
        stores.runs.log_metric(run, Metric("loss", 0.4, 9, 5))
    history = {(metric.step, metric.value) for metric in stores.runs.get_metric_history(run, "loss")}
    assert history == {(0, 0.9), (1, 0.8), (2, 0.7), (3, 0.6), (4, 0.5)}


def test_a_run_behind_nothing_is_as_free_as_before(closed: Closed, stores: Any) -> None:
    store, free = closed[0], stores.run()
    store.log_metric(free, Metric("top1", 0.1, 9, 9))
    store.set_tag(free, RunTag("mine", "y"))
    store.delete_tag(free, "mine")
    store.update_run_info(free, RunStatus.FAILED, 9, "other")
    assert store.get_run(free).data.metrics["top1"] == 0.1


def test_while_the_ledger_is_away_training_goes_on_and_what_was_promoted_stays(
    closed: Closed, stores: Any, guarding: Callable[[Admission], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stores.run()
    _, admission = stores.promoted(f"{stores.root}/x", run)
    guarding(admission)
    admission.protected.warm()

    def away(*_: object, **__: object) -> None:
        raise UnavailableError("ledger", "is away", "wait")

    monkeypatch.setattr(admission.ledger, "entries", away)
    with pytest.raises(MlflowException, match="is promoted"):
        stores.runs.log_metric(run, Metric("top1", 0.99, 5, 1))
    stores.runs.log_metric(stores.run(), Metric("top1", 0.99, 5, 1))
    with pytest.raises(MlflowException, match="ledger: is away"):
        stores.runs.delete_run(stores.run())
