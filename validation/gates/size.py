"""`size`: the bundle is small enough to ship."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import Evidence, Finding, Record
from validation.gates.findings import Figure, missing_evidence


class SizeGate(Record):
    """Megabytes of the whole bundle."""

    kind: Literal["size"] = "size"
    max_mb: float = Field(default=20, gt=0)

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding."""
        if evidence.bundle_mb is None:
            return [missing_evidence("size", f"no bundle of these bytes: run `modelyard export {evidence.label}`")]
        size = evidence.bundle_mb
        return [Figure("size", "bundle", size, " MB").at_most(self.max_mb)]
