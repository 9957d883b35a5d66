"""Leaks among the findings of the data checks."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pipelines.data.leaks.report import HELD_OUT, LeakReport
from registry.records import Finding
from validation.data.suite import DataReport


def with_leaks(report: DataReport, leaks: LeakReport, policy: Literal["refuse", "allow"]) -> DataReport:
    """The data checks' verdict with what leaks: errors where leaks are refused, warnings where the policy allows them."""
    allowed = policy == "allow"
    leaked, unclear = leaks.errors(allow=allowed), leaks.warnings()
    holds = Finding(gate="data.leaks", passed=True, text="no held-out image is given away by an earlier split")
    return replace(
        report,
        errors=[*report.errors, *([] if allowed else leaked)],
        warnings=[*report.warnings, *(leaked if allowed else []), *unclear],
        passed=[*report.passed, *([] if leaked else [holds])],
        leaks=sum(len(leaks.leaked(split)) for split in HELD_OUT),
        leaked_share=round(leaks.share(), 6),
        leak_errors=0 if allowed else len(leaked),
    )
