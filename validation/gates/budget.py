"""`budget`: training cost no more than it may, and serving will not."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Literal, Self

from pydantic import Field, model_validator

from registry.amounts import format_usd
from registry.records import Evidence, Finding, Record
from validation.gates.findings import Figure


class BudgetGate(Record):
    """What training this version cost, and what a month of serving it at the stage may cost at most, in US dollars.

    The quote is the target's own, of the job's own deployment: all of its workers for all of the month, or the cap at which
    the deployment stops them.
    """

    kind: Literal["budget"] = "budget"
    train_usd: float | None = Field(default=1.0, ge=0, description="null: not limited")
    serve_usd_per_month: float | None = Field(
        default=None, ge=0, description="what a month may cost with all workers busy, or until the deployment's cap stops them"
    )

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
            findings.append(_serving(evidence, self.serve_usd_per_month))
        return findings


def _serving(evidence: Evidence, limit: float) -> Finding:
    quoted = evidence.serve_usd_per_month
    basis = f" ({evidence.serve_quote})" if evidence.serve_quote else ""
    if quoted is None:
        return Finding(gate="budget", passed=False, text=f"serving cost was not quoted{basis}", limit=limit)
    passed = quoted <= Decimal(str(limit))
    words = "at most" if passed else "above"
    text = f"serving cost of up to {format_usd(quoted)} a month is {words} {format_usd(limit)}{basis}"
    if not passed:
        text += "; fewer or smaller workers cost less, and on RunPod `max_usd_per_month` stops them in time"
    return Finding(gate="budget", passed=passed, text=text, figure=float(quoted), limit=limit)


def _usd(amount: Decimal | None) -> float:
    return math.nan if amount is None else float(amount)
