"""`latency`: the export answers fast enough, in a fresh process."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import Evidence, Finding, Record
from validation.gates.findings import Figure, missing


class LatencyGate(Record):
    """p95, from image bytes to answer, of the bundle's ONNX model."""

    kind: Literal["latency"] = "latency"
    p95_ms: float = Field(default=50, gt=0)

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding."""
        if evidence.latency is None:
            ref = f"{evidence.model}/{evidence.version}"
            return [missing("latency", f"no latency of these bytes: run `modelyard export {ref}`")]
        return [Figure("latency", "p95", evidence.latency.p95_ms, " ms").at_most(self.p95_ms)]
