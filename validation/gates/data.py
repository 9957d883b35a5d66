"""`data`: the data set that a version was trained on passed its checks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import Evidence, Finding, Record
from validation.gates.findings import Figure, missing_evidence


class DataGate(Record):
    """The verdict of the data checks on exactly the data set that the version was trained on."""

    kind: Literal["data"] = "data"
    warnings: int | None = Field(default=None, ge=0, description="how many warnings it may have; default: any number")

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding on errors, one on warnings where they are limited."""
        verdict = evidence.data
        if verdict is None or verdict.dataset != evidence.dataset:
            return [missing_evidence("data", f"no data report of what {evidence.label} was trained on: train it again")]
        findings = [Figure("data", "failed data checks", verdict.errors).at_most(0)]
        if not verdict.holds and findings[0].passed:
            findings = [missing_evidence("data", "the data report says that the data set failed its checks")]
        if self.warnings is not None:
            findings.append(Figure("data", "data warnings", verdict.warnings).at_most(self.warnings))
        return findings
