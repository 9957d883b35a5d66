"""`latency`: the export answers fast enough, in a fresh process."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.measured import conditions_in_words
from registry.records import Evidence, Finding, Record
from validation.gates.findings import Figure, missing_evidence


class LatencyGate(Record):
    """p50 and p95, from image bytes to answer, of the bundle's ONNX model."""

    kind: Literal["latency"] = "latency"
    p95_ms: float = Field(default=50, gt=0)
    p50_ms: float | None = Field(default=None, gt=0, description="default: not limited")

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding a limit, with the conditions under which it was measured."""
        if (latency := evidence.latency) is None:
            return [missing_evidence("latency", f"no latency of these bytes: run `modelyard export {evidence.label}`")]
        findings = [Figure("latency", "p95", latency.p95_ms, " ms").at_most(self.p95_ms)]
        if self.p50_ms is not None:
            findings.insert(0, Figure("latency", "p50", latency.p50_ms, " ms").at_most(self.p50_ms))
        return [self._with_conditions(finding, conditions_in_words(latency), evidence) for finding in findings]

    def _with_conditions(self, finding: Finding, conditions: str, evidence: Evidence) -> Finding:
        if not conditions:
            return finding
        busy = evidence.latency is not None and evidence.latency.disturbed and not finding.passed
        again = f"; run `modelyard export {evidence.label}` when it is idle to measure again" if busy else ""
        return finding.model_copy(update={"text": f"{finding.text} ({conditions}{again})"})
