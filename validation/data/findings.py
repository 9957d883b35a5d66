"""What the checks of a data set found: one sentence a check, and all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from registry.records import DataVerdict, Finding, Record
from validation.data.catalogue import ABOUT_LEAKS, CheckLevels, Level


class CheckFinding(Record):
    """What one check says of a data set: a sentence, the figure it rests on and the limit.

    `level` is how much the check weighs in this job: strict or warn.
    """

    check: str
    level: Level
    passed: bool
    text: str
    figure: float | None = None
    limit: float | None = None

    @property
    def outcome(self) -> Literal["error", "warning", "holds"]:
        """What it comes to, as reports spell it."""
        return "holds" if self.passed else "error" if self.level == "strict" else "warning"

    def as_finding(self) -> Finding:
        """The same as gates know it."""
        return Finding(gate=f"data.{self.check}", passed=self.passed, text=self.text, figure=self.figure, limit=self.limit)


@dataclass(frozen=True, slots=True)
class DataReport:
    """All findings, the weights that they were judged by, and where Data Docs were written."""

    findings: Sequence[CheckFinding]
    levels: CheckLevels
    docs: Path
    leaks: int | None = None
    """Held-out pictures that an earlier split gives away; None where nobody looked for them."""
    leaked_share: float = 0.0
    """The share of the test split that is."""

    @property
    def errors(self) -> list[CheckFinding]:
        """Failed checks that weigh strict."""
        return [finding for finding in self.findings if finding.outcome == "error"]

    @property
    def warnings(self) -> list[CheckFinding]:
        """Failed checks that weigh warn."""
        return [finding for finding in self.findings if finding.outcome == "warning"]

    @property
    def passed(self) -> list[CheckFinding]:
        """Checks that passed."""
        return [finding for finding in self.findings if finding.passed]

    @property
    def failing(self) -> list[CheckFinding]:
        """Failed checks for which `check` exits with 1."""
        return [finding for finding in self.errors if self.levels.fails(finding.check)]

    @property
    def stopping(self) -> list[CheckFinding]:
        """Failed checks for which nothing is trained."""
        return [finding for finding in self.errors if self.levels.stops(finding.check)]

    @property
    def checked(self) -> bool:
        """Whether any check was made at all."""
        return bool(self.findings)

    @property
    def holds(self) -> bool:
        """Whether something was checked and no strict check failed."""
        return self.checked and not self.errors

    def verdict(self, dataset: str) -> DataVerdict:
        """What the ledger keeps of it, about the data set of this digest."""
        return DataVerdict(
            dataset=dataset,
            holds=self.holds,
            errors=len(self.errors),
            warnings=len(self.warnings),
            checked=self.checked,
            off=self.levels.off,
            lowered=self.levels.lowered,
            leaks=self.leaks,
            leaked_share=self.leaked_share,
            leak_errors=sum(finding.check in ABOUT_LEAKS for finding in self.errors),
        )
