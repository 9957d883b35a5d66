"""`metric`: a score on the held-out split reaches its threshold."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from registry.records import Evaluation, Evidence, Finding, Record
from validation.gates.findings import Figure, missing_evidence

_OF_A_CLASS = ("precision", "recall", "f1", "ap", "ap50")
_OF_A_SLICE = ("top1", "map50_95", "map50")


class MetricGate(Record):
    """A metric of the latest evaluation of exactly these bytes: overall, of one class, or of one slice."""

    kind: Literal["metric"] = "metric"
    name: str = Field(
        default="top1",
        description="top1, top5, macro_f1, worst_recall; of a detector: map50_95, map50, map75, worst_ap, precision, recall; "
        "of a class: precision, recall, f1, and of a detector's: ap, ap50",
    )
    at_least: float = Field(default=0.9, ge=0, le=1)
    label: str | None = Field(default=None, description="only this class")
    slice: str | None = Field(default=None, description="only this slice of the held-out images, see data.slices")
    images: int = Field(default=1, ge=1, description="of a slice: fewer images are no measurement")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.label and self.slice:
            raise ValueError("a metric is of a class or of a slice, not of both")
        if self.label and self.name not in _OF_A_CLASS:
            raise ValueError(f"a class has {', '.join(_OF_A_CLASS)}, not '{self.name}'")
        if self.slice and self.name not in _OF_A_SLICE:
            raise ValueError(f"a slice has top1, of a detector map50_95 and map50, not '{self.name}'")
        return self

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding: the metric against its threshold."""
        if evidence.evaluation is None:
            return [missing_evidence("metric", f"no evaluation of these bytes: run `modelyard evaluate {evidence.label}`")]
        where = f" of '{self.label or self.slice}'" if self.label or self.slice else ""
        value = self._value(evidence, evidence.evaluation)
        if math.isnan(value):
            text = f"{self.name}{where} was not measured, or by another pattern: run `modelyard evaluate {evidence.label}`"
            return [missing_evidence("metric", text)]
        return [Figure("metric", f"{self.name}{where}", value).at_least(self.at_least)]

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
