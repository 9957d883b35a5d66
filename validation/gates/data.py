"""`data`: the data set that a version was trained on passed its checks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.errors import shorten
from registry.measured import leaked_in_words
from registry.records import DataVerdict, Evidence, Finding, Record
from validation.gates.findings import Figure, missing_evidence

LEAKS = "leaks"
"""The check that looks for held-out images which an earlier split gives away."""
_ALL_OFF = "data.checks is off; set it to strict or warn and train it again"
_OLDER = "leaks were not looked for: an older release checked the data"
_NOT_LOOKED = "take `leaks: off` out of data.checks and train it again, or say `data.leaks: allow`"


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
        if not verdict.checked:
            return [missing_evidence("data", f"no data check was made of what {evidence.label} was trained on: {_ALL_OFF}")]
        others = verdict.errors - verdict.leak_errors
        findings = [_with_silenced(Figure("data", "failed data checks", others).at_most(0), verdict)]
        if verdict.leaks or verdict.leaked_share:
            findings.append(self._leaked(verdict))
        elif LEAKS in verdict.off and self.leaks != "allow":
            findings.append(missing_evidence("data", f"leaks were not looked for: {_NOT_LOOKED}"))
        if not verdict.holds and not verdict.errors:
            findings = [missing_evidence("data", "the data report says that the data set failed its checks")]
        if self.warnings is not None:
            findings.append(Figure("data", "data warnings", verdict.warnings).at_most(self.warnings))
        return findings

    def _leaked(self, verdict: DataVerdict) -> Finding:
        """Refused, or allowed by a policy that is recorded."""
        what = leaked_in_words(verdict)
        if self.leaks == "allow":
            return Finding(
                gate="data", passed=True, text=f"allowed by the policy: {what}", figure=verdict.leaked_share, limit=1.0
            )
        text = f"{what}: the score is not that of new images; see `modelyard data leaks`, or set `data.leaks: allow`"
        return Finding(gate="data", passed=False, text=text, figure=verdict.leaked_share, limit=0.0)


def _with_silenced(finding: Finding, verdict: DataVerdict) -> Finding:
    """The same, with the checks that were not made or lowered to warnings, and that leaks were not looked for."""
    silenced = {"not made": verdict.off, "lowered to a warning": verdict.lowered}
    parts = [f"{words}: {', '.join(names)}" for words, names in silenced.items() if names]
    parts += [_OLDER] if verdict.leaks is None and LEAKS not in verdict.off else []
    return finding.model_copy(update={"text": f"{finding.text} ({shorten('; '.join(parts), 300)})"}) if parts else finding
