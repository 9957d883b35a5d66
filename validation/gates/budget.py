"""`budget`: training did not cost more than it may."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from registry.records import Evidence, Finding, Record
from validation.gates.findings import Figure


class BudgetGate(Record):
    """What training this version cost, in US dollars."""

    kind: Literal["budget"] = "budget"
    train_usd: float = Field(default=1.0, ge=0)

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding."""
        spent = math.nan if evidence.train_usd is None else float(evidence.train_usd)
        return [Figure("budget", "training cost", spent, " USD").at_most(self.train_usd)]
