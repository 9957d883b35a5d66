"""`metric`: a score on the held-out split reaches its threshold."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import Evidence, Finding, Record
from validation.gates.findings import Figure, missing


class MetricGate(Record):
    """A metric of the latest evaluation of exactly these bytes, overall or of the worst class."""

    kind: Literal["metric"] = "metric"
    name: str = Field(default="top1", description="top1, top5, macro_f1 or worst_recall")
    at_least: float = Field(default=0.9, ge=0, le=1)

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding: the metric against its threshold."""
        if evidence.evaluation is None:
            ref = f"{evidence.model}/{evidence.version}"
            return [missing("metric", f"no evaluation of these bytes: run `modelyard evaluate {ref}`")]
        return [Figure("metric", self.name, evidence.metric(self.name)).at_least(self.at_least)]
