"""A run behind a promoted version says what it said when the version was judged: what is there stays, what is new may come.

MLflow lets anybody who can reach a run change its metrics, tags and name at any time. People compare runs by them, so those
of the run, and of the logged model, that a promoted version was made from are closed: a value that is there is neither
changed nor removed, a new one may be added. A run that goes on after a checkpoint of it was promoted adds steps to its metrics.
Where the ledger cannot be asked, this is decided by what it said last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from math import isnan
from typing import Any, NoReturn, cast

from mlflow.entities import RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from registry.mlflow.server.protected import Protected
from registry.mlflow.server.refusal import refuse


class ClosedRuns:
    """Decisions on what is written to runs and logged models; named like the tracking store's methods."""

    def __init__(self, runs: Any, protected: Protected) -> None:
        """`runs` is the tracking store."""
        self._get_run, self._get_model, self._protected = runs.get_run, runs.get_logged_model, protected
        self._get_history = runs.get_metric_history

    def log_metric(self, run_id: str, metric: Any, **_: object) -> None:
        """A metric."""
        self.log_batch(run_id, metrics=[metric])

    def log_param(self, run_id: str, param: Any, **_: object) -> None:
        """A parameter."""
        self.log_batch(run_id, params=[param])

    def set_tag(self, run_id: str, tag: Any, **_: object) -> None:
        """A tag."""
        self.log_batch(run_id, tags=[tag])

    def log_batch(
        self, run_id: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Sequence[Any] = (), **_: object
    ) -> None:
        """Several of them."""
        for model_id in {metric.model_id for metric in metrics if metric.model_id}:
            self._log_model_metrics(model_id, [metric for metric in metrics if metric.model_id == model_id])
        if label := self._run(run_id):
            run = self._get_run(run_id)
            data = run.data
            judged = metrics if _has_ended(run) else [metric for metric in metrics if not self._is_another_step(run, metric)]
            _keep(label, "metric", data.metrics, ((metric.key, metric.value) for metric in judged))
            _keep(label, "parameter", data.params, ((param.key, param.value) for param in params))
            _keep(label, "tag", data.tags, ((tag.key, tag.value) for tag in tags))

    def delete_tag(self, run_id: str, key: str, **_: object) -> None:
        """A tag that is taken away."""
        if label := self._run(run_id):
            _refuse(label, f"tag '{key}' of its run may not be removed")

    def update_run_info(self, run_id: str, run_status: Any, run_name: str | None = None, **_: object) -> None:
        """A run that is named anew, or ends; one that ended stays as it ended."""
        if label := self._run(run_id):
            run = self._get_run(run_id)
            info = run.info
            renamed = bool(run_name) and run_name != info.run_name
            if renamed or (_has_ended(run) and run_status is not None and RunStatus.to_string(run_status) != info.status):
                _refuse(label, "its run may not be renamed, or end in another way")

    def record_logged_model(self, run_id: str, **_: object) -> None:
        """A model that is said to be of the run."""
        self._refuse_more(run_id, "models")

    def log_inputs(self, run_id: str, **_: object) -> None:
        """What the run is said to have read: its data sets, its models."""
        self._refuse_more(run_id, "inputs")

    def log_outputs(self, run_id: str, **_: object) -> None:
        """What the run is said to have made."""
        self._refuse_more(run_id, "outputs")

    def log_logged_model_params(self, model_id: str, params: Sequence[Any], **_: object) -> None:
        """Parameters of a logged model."""
        if label := self._model(model_id):
            held = self._get_model(model_id).params or {}
            _keep(label, "parameter", held, ((param.key, param.value) for param in params))

    def set_logged_model_tags(self, model_id: str, tags: Sequence[Any], **_: object) -> None:
        """Tags of a logged model; MLflow itself adds to the list of its versions."""
        if label := self._model(model_id):
            held = dict(self._get_model(model_id).tags)
            fresh = [(tag.key, tag.value) for tag in tags if not _adds_versions(tag, held)]
            _keep(label, "tag", held, fresh)

    def delete_logged_model_tag(self, model_id: str, key: str, **_: object) -> None:
        """A tag that is taken away from a logged model."""
        if label := self._model(model_id):
            _refuse(label, f"tag '{key}' of its logged model may not be removed")

    def _log_model_metrics(self, model_id: str, metrics: Sequence[Any]) -> None:
        """Any run may write a metric of any logged model: a figure is its name and the data set that it was measured on."""
        if label := self._model(model_id):
            held = {_figure(metric): metric.value for metric in self._get_model(model_id).metrics or ()}
            _keep(label, "metric", held, ((_figure(metric), metric.value) for metric in metrics))

    def _is_another_step(self, run: Any, metric: Any) -> bool:
        """Whether a metric says nothing else about a step than what is there. Only the steps of a changed value are read."""
        held = run.data.metrics
        if metric.key not in held or _same(held[metric.key], metric.value):
            return True
        there = [each.value for each in self._get_history(run.info.run_id, metric.key) if each.step == metric.step]
        return not there or any(_same(value, metric.value) for value in there)

    def _refuse_more(self, run_id: str, what: str) -> None:
        label = self._run(run_id)
        if label and _has_ended(self._get_run(run_id)):
            _refuse(label, f"its run has ended, and gets no further {what}")

    def _run(self, run_id: str) -> str:
        """The promoted version behind which a run stands, or nothing."""
        promoted = self._protected.where(lambda location: run_id in location.run_ids, stale=True)
        return promoted[0][0] if promoted else ""

    def _model(self, model_id: str) -> str:
        promoted = self._protected.where(lambda location: location.model_id == model_id, stale=True)
        return promoted[0][0] if promoted else ""


def _has_ended(run: Any) -> bool:
    return RunStatus.is_terminated(RunStatus.from_string(run.info.status))


def _figure(metric: Any) -> str:
    dataset = f" on {metric.dataset_name} {metric.dataset_digest}" if metric.dataset_name else ""
    return f"{metric.key}{dataset}"


def _keep(label: str, kind: str, held: Mapping[str, Any], fresh: Iterable[tuple[str, Any]]) -> None:
    """Refuse a value that differs from the one that is there."""
    for key, value in fresh:
        if key in held and not _same(held[key], value):
            _refuse(label, f"{kind} '{key}' of what it was made from is {held[key]!s:.80} and may not become {value!s:.80}")


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, float) and isinstance(after, (int, float)):
        return before == after or (isnan(before) and isnan(after))
    return str(before) == str(after)


def _adds_versions(tag: Any, held: Mapping[str, str]) -> bool:
    """Whether a tag is MLflow's list of a logged model's registered versions, with every earlier entry in it."""
    if tag.key != MLFLOW_MODEL_VERSIONS:
        return False
    with suppress(ValueError):
        before, after = json.loads(held.get(tag.key) or "[]"), json.loads(tag.value)
        if isinstance(before, list) and isinstance(after, list):
            return all(entry in after for entry in cast("list[Any]", before))
    return False


def _refuse(label: str, what: str) -> NoReturn:
    refuse(f"{label} is promoted: {what}; log to a run of its own, or run `modelyard promote {label} archived` first")
