"""`data`: the data set that a version was trained on passed its checks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.errors import shorten
from registry.records import DataVerdict, Evidence, Finding, Record
from validation.gates.findings import Figure, missing_evidence

_ALL_OFF = "data.checks is off; set it to strict or warn and train it again"


class DataGate(Record):
    """The verdict of the data checks on exactly the data set that the version was trained on."""

    kind: Literal["data"] = "data"
    warnings: int | None = Field(default=None, ge=0, description="how many warnings it may have; default: any number")

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding on errors, one on warnings where they are limited."""
        verdict = evidence.data
        if verdict is None or verdict.dataset != evidence.dataset:
            return [missing_evidence("data", f"no data report of what {evidence.label} was trained on: train it again")]
        if not verdict.checked:
            return [missing_evidence("data", f"no data check was made of what {evidence.label} was trained on: {_ALL_OFF}")]
        findings = [_with_silenced(Figure("data", "failed data checks", verdict.errors).at_most(0), verdict)]
        if not verdict.holds and findings[0].passed:
            findings = [missing_evidence("data", "the data report says that the data set failed its checks")]
        if self.warnings is not None:
            findings.append(Figure("data", "data warnings", verdict.warnings).at_most(self.warnings))
        return findings


def _with_silenced(finding: Finding, verdict: DataVerdict) -> Finding:
    """The same, with the checks that were not made or lowered to warnings."""
    silenced = {"not made": verdict.off, "lowered to a warning": verdict.lowered}
    parts = [f"{words}: {', '.join(names)}" for words, names in silenced.items() if names]
    return finding.model_copy(update={"text": f"{finding.text} ({shorten('; '.join(parts), 300)})"}) if parts else finding
