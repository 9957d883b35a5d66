"""`parity`: the exported variants answer as the trained model does, measured from image bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import Evidence, Finding, Limits, ParityFigures, Record
from validation.gates.findings import Figure, missing_evidence

_SERVED = "onnx"
"""What serves, so it is required always."""

_EXACT = {"onnx", "onnx-tensor", "tfjs-float32", "litert-float32", "transformersjs"}
"""Variants at full precision: the gate's thresholds bind where they are stricter than what these were exported with."""

_BEFORE = {"tfjs-float16": Limits(max_abs_diff=2e-2), "tfjs-uint8": Limits(max_abs_diff=1e-1)}
"""Limits of exports that were made before they were recorded."""


class ParityGate(Record):
    """Every variant in the bundle agrees with the trained model, the wrong-image control does not, and none is missing."""

    kind: Literal["parity"] = "parity"
    top1_agreement: float = Field(default=0.99, ge=0, le=1, description="at full precision")
    max_abs_diff: float = Field(default=1e-2, gt=0, description="at full precision, in probability")
    control_at_most: float = Field(default=0.9, gt=0, lt=1, description="agreement that a wrong image may at most reach")
    images: int = Field(default=50, ge=1, description="fewer measured images are no measurement")
    variants: tuple[str, ...] | None = Field(
        default=None, description="what must be in the bundle; unless set, what the job's `export:` requires"
    )

    limits: dict[str, Limits] = Field(
        default={}, description="by variant; unless set, those of the job's `export:`, and of the export itself for any other"
    )

    def judge(self, evidence: Evidence) -> list[Finding]:
        """Four findings a variant, five for a detector's; one for a variant that was left out or never made."""
        if not evidence.parity:
            ref = evidence.label
            return [missing_evidence("parity", f"no parity of these bytes: run `modelyard export {ref}`")]
        measured = {figures.variant for figures in evidence.parity}
        findings = [finding for figures in evidence.parity for finding in self._judge_variant(figures)]
        lost = [name for name in dict.fromkeys((_SERVED, *(self.variants or ()))) if name not in measured]
        return findings + [
            missing_evidence("parity", f"{name} was not exported: run `modelyard export {evidence.label}`") for name in lost
        ]

    def _judge_variant(self, figures: ParityFigures) -> list[Finding]:
        name, limits = figures.variant, self._limits(figures)
        if not figures.kept:
            must = name == _SERVED or (name in self.variants if self.variants is not None else figures.required)
            return [Finding(gate="parity", passed=not must, text=f"{name} is not in the bundle: {figures.note}")]
        findings = [
            Figure("parity", f"{name} images", figures.images).at_least(self.images),
            Figure("parity", f"{name} top-1 agreement", figures.top1_agreement).at_least(limits.top1_agreement),
            self._difference(figures).at_most(limits.max_abs_diff),
            Figure("parity", f"{name} wrong-image agreement", figures.control_agreement).at_most(self.control_at_most),
        ]
        if figures.map_difference is not None:
            findings.append(Figure("parity", f"{name} mAP difference", figures.map_difference).at_most(limits.map_difference))
        return findings

    def _difference(self, figures: ParityFigures) -> Figure:
        """A classifier's largest; a detector's mean, since a single box comes and goes with a single grey level."""
        if figures.map_difference is None:
            return Figure("parity", f"{figures.variant} largest difference", figures.max_abs_diff)
        return Figure("parity", f"{figures.variant} mean difference", figures.mean_abs_diff)

    def _limits(self, figures: ParityFigures) -> Limits:
        own = self.limits.get(figures.variant) or figures.limits or _BEFORE.get(figures.variant, Limits())
        if figures.variant not in _EXACT:
            return own
        agreement = max(own.top1_agreement, self.top1_agreement)
        return own.model_copy(update={"top1_agreement": agreement, "max_abs_diff": min(own.max_abs_diff, self.max_abs_diff)})
