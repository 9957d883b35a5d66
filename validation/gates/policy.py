"""`policy`: what a version has to prove is not other than it was, or another person agreed that it should be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import Evidence, Finding, Record
from validation.gates.findings import missing_evidence


class PolicyGate(Record):
    """The gates, exports, deployments and budget are those of the stage's last promotion, or their change was approved.

    A policy is approved once it is recorded, by somebody else than who set it. `proven` counts only names that a server
    with logins has checked. The gate holds for the promotion by which it is taken out of the policy, too.
    """

    kind: Literal["policy"] = "policy"
    proven: bool = Field(default=False, description="count only names that a server with logins has checked")

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding."""
        change = evidence.policy
        if change is None:
            return [missing_evidence("policy", f"it is not known by which policy {evidence.label} is judged")]
        if change.since is None:
            return [Finding(gate="policy", passed=True, text=f"no version was promoted to {evidence.stage} by another policy")]
        if not change.changed:
            return [Finding(gate="policy", passed=True, text=f"policy unchanged since the promotion in row {change.since}")]
        approvers = {approval.actor for approval in change.approvals if approval.proven or not self.proven}
        others = sorted(approvers - {change.set_by})
        text = f"policy changed since the promotion in row {change.since}"
        if others:
            return [Finding(gate="policy", passed=True, text=f"{text}, approved by {', '.join(others)}")]
        model = evidence.model
        first = "" if change.row else "`modelyard policy set`, then "
        remedy = f"{first}another person than {change.set_by} runs `modelyard policy approve {model}`"
        return [Finding(gate="policy", passed=False, text=f"{text}, and nobody else approved it: {remedy}")]
