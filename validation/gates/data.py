"""`data`: the data set that a version was trained on passed its checks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import DataVerdict, Evidence, Finding, Record
from validation.gates.findings import Figure, missing_evidence


class DataGate(Record):
    """The verdict of the data checks on exactly the data set that the version was trained on."""

    kind: Literal["data"] = "data"
    leaks: Literal["refuse", "allow"] | None = Field(
        default=None, description="whether a test set that train gives away is refused; default: what data.leaks says"
    )
    warnings: int | None = Field(default=None, ge=0, description="how many warnings it may have; default: any number")

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding on errors, one on leaks where there are any, one on warnings where they are limited."""
        verdict = evidence.data
        if verdict is None or verdict.dataset != evidence.dataset:
            return [missing_evidence("data", f"no data report of what {evidence.label} was trained on: train it again")]
        findings = [Figure("data", "failed data checks", verdict.errors - verdict.leak_errors).at_most(0)]
        if verdict.leaks or verdict.leaked_share:
            findings.append(self._leaked(verdict))
        if not verdict.holds and not verdict.errors:
            findings = [missing_evidence("data", "the data report says that the data set failed its checks")]
        if self.warnings is not None:
            findings.append(Figure("data", "data warnings", verdict.warnings).at_most(self.warnings))
        return findings

    def _leaked(self, verdict: DataVerdict) -> Finding:
        """Refused, or allowed by a policy that is recorded."""
        held_out = "" if verdict.leaked_share else f" ({verdict.leaks} images of val are)"
        what = f"{verdict.leaked_share:.0%} of test is leaked{held_out}"
        if self.leaks == "allow":
            return Finding(
                gate="data", passed=True, text=f"allowed by the policy: {what}", figure=verdict.leaked_share, limit=1.0
            )
        text = f"{what}: the score is not that of new images; see `modelyard data leaks`, or set `data.leaks: allow`"
        return Finding(gate="data", passed=False, text=text, figure=verdict.leaked_share, limit=0.0)
