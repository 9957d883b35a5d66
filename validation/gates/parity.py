"""`parity`: the exported variants answer as the trained model does, measured from image bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import Evidence, Finding, ParityFigures, Record
from validation.gates.findings import Figure, missing

_REDUCED = {"tfjs-float16": 2e-2, "tfjs-uint8": 1e-1}
"""Variants of reduced precision are held to their own largest difference; agreement stays as asked."""


class ParityGate(Record):
    """Every variant in the bundle agrees with the trained model, and the wrong-image control does not."""

    kind: Literal["parity"] = "parity"
    top1_agreement: float = Field(default=0.99, ge=0, le=1)
    max_abs_diff: float = Field(default=1e-3, gt=0, description="for full precision, in probability")
    control_at_most: float = Field(default=0.9, gt=0, lt=1, description="agreement that a wrong image may at most reach")
    images: int = Field(default=50, ge=1, description="fewer measured images are no measurement")

    def judge(self, evidence: Evidence) -> list[Finding]:
        """Four findings a variant."""
        if not evidence.parity:
            ref = evidence.label
            return [missing("parity", f"no parity of these bytes: run `modelyard export {ref}`")]
        return [finding for figures in evidence.parity for finding in self._variant(figures)]

    def _variant(self, figures: ParityFigures) -> list[Finding]:
        name, allowed = figures.variant, max(self.max_abs_diff, _REDUCED.get(figures.variant, 0.0))
        return [
            Figure("parity", f"{name} images", figures.images).at_least(self.images),
            Figure("parity", f"{name} top-1 agreement", figures.top1_agreement).at_least(self.top1_agreement),
            Figure("parity", f"{name} largest difference", figures.max_abs_diff).at_most(allowed),
            Figure("parity", f"{name} wrong-image agreement", figures.control_agreement).at_most(self.control_at_most),
        ]
