"""`approval`: a person other than the author has approved exactly these bytes for this stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import Evidence, Finding, Record
from validation.gates.findings import missing_evidence


class ApprovalGate(Record):
    """How many people, none of them the author, must have approved.

    A name is self-declared unless a server with logins checked it; `proven` counts only those.
    """

    kind: Literal["approval"] = "approval"
    by: Literal["another_person"] = "another_person"
    count: int = Field(default=1, ge=1)
    proven: bool = Field(default=False, description="count only names that a server with logins has checked")

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding."""
        if not evidence.author:
            return [
                missing_evidence(
                    "approval", f"it is not known who trained {evidence.label}, so no approval can be by another person"
                )
            ]
        approvers = {approval.actor for approval in evidence.approvals if approval.proven or not self.proven}
        others = sorted(approvers - {evidence.author})
        who = f" ({', '.join(others)})" if others else f": run `modelyard approve {evidence.label} --stage {evidence.stage}`"
        text = f"{len(others)} of {self.count} approvals by another person than {evidence.author}{who}"
        passed = len(others) >= self.count
        return [Finding(gate="approval", passed=passed, text=text, figure=len(others), limit=self.count)]
