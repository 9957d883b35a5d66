"""`metric`: a score on the held-out split reaches its threshold, or stays below it."""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import Any, Literal, Self, cast

from pydantic import Field, model_validator

from registry.measured import few_clips_in_words
from registry.records import Evaluation, Evidence, Finding, Record
from validation.gates.findings import Figure, missing_evidence

_OF_A_CLASS = ("precision", "recall", "f1", "ap", "ap50")
_OF_A_SLICE = ("top1", "map50_95", "map50")
_LOWER_IS_BETTER = ("ece", "ece_scaled", "set_size", "unsure", "robust_drop")
_DEFAULT = 0.9


class MetricGate(Record):
    """A metric of the latest evaluation of exactly these bytes: overall, of one class, or of one slice."""

    kind: Literal["metric"] = "metric"
    name: str = Field(
        default="top1",
        description="top1, top5, macro_f1, worst_recall; of a class: precision, recall, f1; ece, coverage, unsure; "
        "robust_top1, or one way in which pictures are worse, such as blur_3; of a detector: map50_95, map50, map75, worst_ap, "
        "precision, recall, and of its class: ap, ap50",
    )
    at_least: float | None = Field(default=_DEFAULT, ge=0, le=1, description="unless `at_most` is given")
    at_most: float | None = Field(default=None, ge=0, description="for what is better when it is lower, such as ece")
    label: str | None = Field(default=None, description="only this class")
    slice: str | None = Field(default=None, description="only this slice of the held-out images, see data.slices")
    images: int = Field(default=1, ge=1, description="of a slice: fewer images are no measurement")

    @model_validator(mode="before")
    @classmethod
    def _has_one_limit(cls, given: Any) -> Any:
        """With `at_most` alone there is no lower limit."""
        fields: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        if fields.get("at_most") is not None and "at_least" not in fields:
            return fields | {"at_least": None}
        return cast("object", given)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.label and self.slice:
            raise ValueError("a metric is of a class or of a slice, not of both")
        if self.label and self.name not in _OF_A_CLASS:
            raise ValueError(f"a class has {', '.join(_OF_A_CLASS)}, not '{self.name}'")
        if self.slice and self.name not in _OF_A_SLICE:
            raise ValueError(f"a slice has top1, of a detector map50_95 and map50, not '{self.name}'")
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"a limit is missing: say how much {self.name} must be `at_least`, or `at_most`")
        if self.name in _LOWER_IS_BETTER and self.at_most is None:
            raise ValueError(f"{self.name} is better when it is lower: say how much it may be `at_most`")
        return self

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding a limit: the metric against it."""
        evaluation = evidence.evaluation
        if evaluation is None:
            return [missing_evidence("metric", f"no evaluation of these bytes: run `modelyard evaluate {evidence.label}`")]
        where = f" of '{self.label or self.slice}'" if self.label or self.slice else ""
        value = self._value(evidence, evaluation)
        if math.isnan(value):
            return [missing_evidence("metric", f"{self.name}{where} {self._why_missing(evidence.label, evaluation)}")]
        figure = Figure("metric", f"{self.name}{where}", value)
        findings = [figure.at_least(self.at_least)] if self.at_least is not None else []
        findings += [figure.at_most(self.at_most)] if self.at_most is not None else []
        few = few_clips_in_words(evaluation.clips)
        about = {"metric": self.name, "part": self.label or self.slice or ""}
        return [
            finding.model_copy(update=about | {"text": f"{finding.text} ({few})" if few else finding.text})
            for finding in findings
        ]

    def _why_missing(self, label: str, evaluation: Evaluation) -> str:
        """What to do about a metric that is not there: a name that nobody measures will not be there next time either."""
        again = f"run `modelyard evaluate {label}`"
        if self.label or self.slice or self.name in evaluation.metrics:
            return f"was not measured, or by another pattern: {again}"
        if near := get_close_matches(self.name, evaluation.metrics, n=1):
            return f"was not measured: did you mean {near[0]}? Otherwise {again}"
        return f"was not measured: {again}"

    def _value(self, evidence: Evidence, evaluation: Evaluation) -> float:
        """NaN where it was not measured: a class that had no test image, a slice of too few."""
        if self.label:
            scores = [score for score in evaluation.classes if score.label == self.label and score.support]
            value = getattr(scores[0], self.name) if scores else None
            return math.nan if value is None else float(value)
        if self.slice:
            part = evaluation.slices.get(self.slice)
            if part is None or part.images < self.images:
                return math.nan
            classifies = self.name == "top1" and evaluation.task == "classify"
            return part.top1 if classifies else part.metrics.get(self.name, math.nan)
        return evidence.metric(self.name)
