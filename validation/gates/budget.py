"""`budget`: training cost no more than it may, and serving will not."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Literal, Self

from pydantic import Field, model_validator

from registry.records import Evidence, Finding, Record
from validation.gates.findings import Figure


class BudgetGate(Record):
    """What training this version cost, and what serving it at the stage is quoted at, in US dollars."""

    kind: Literal["budget"] = "budget"
    train_usd: float | None = Field(default=1.0, ge=0, description="null: not limited")
    serve_usd_per_month: float | None = Field(default=None, ge=0, description="default: not limited")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.train_usd is None and self.serve_usd_per_month is None:
            raise ValueError("a budget limits train_usd or serve_usd_per_month")
        return self

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding a limit."""
        findings: list[Finding] = []
        if self.train_usd is not None:
            findings.append(Figure("budget", "training cost", _usd(evidence.train_usd), " USD").at_most(self.train_usd))
        if self.serve_usd_per_month is not None:
            quoted = _usd(evidence.serve_usd_per_month)
            findings.append(Figure("budget", "serving cost", quoted, " USD a month").at_most(self.serve_usd_per_month))
        return findings


def _usd(amount: Decimal | None) -> float:
    return math.nan if amount is None else float(amount)
