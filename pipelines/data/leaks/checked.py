"""Leaks among the findings of the data checks."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.data.leaks.report import LeakReport
from validation.data.catalogue import CheckLevels
from validation.data.findings import CheckFinding

LEAKS, UNCLEAR = "leaks", "leaks-unclear"


def leak_findings(report: LeakReport, levels: CheckLevels) -> Iterator[CheckFinding]:
    """One finding for each kind of leak, or that there is none; and what could not be told."""
    level = levels.of(LEAKS)
    if level != "off":
        leaked = report.errors(allow=level == "warn")
        for finding in leaked:
            yield CheckFinding(check=LEAKS, level=level, passed=False, text=finding.text, figure=finding.figure)
        if not leaked:
            yield CheckFinding(
                check=LEAKS, level=level, passed=True, text="no held-out image is given away by an earlier split"
            )
    if (level := levels.of(UNCLEAR)) != "off":
        for finding in report.warnings():
            if finding.gate == "data.leaks":  # whether groups are known is a check of its own
                yield CheckFinding(check=UNCLEAR, level=level, passed=False, text=finding.text, figure=finding.figure)
