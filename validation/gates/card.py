"""`card`: the model card says what a person must know before using the model."""

from __future__ import annotations

from typing import Literal

from registry.records import Evidence, Finding, Record
from validation.gates.findings import missing_evidence


class CardGate(Record):
    """The card in the bundle has every section, and each says something."""

    kind: Literal["card"] = "card"

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding."""
        gaps = evidence.card_missing
        if gaps is None:
            return [missing_evidence("card", f"no model card of these bytes: run `modelyard export {evidence.label}`")]
        text = f"model card lacks {', '.join(gaps)}" if gaps else "model card is complete"
        return [Finding(gate="card", passed=not gaps, text=text, figure=len(gaps), limit=0)]
