"""`champion`: not worse than the version that serves production now, on the same held-out images."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from registry.records import SCORE_NAMES, BoxOutcomes, Evaluation, Evidence, Finding, Outcomes, Record, Rival
from validation.average_precision import average_precisions, draws, mean_ap
from validation.gates.findings import Figure, missing_evidence

_RESAMPLES = 10_000


class ChampionGate(Record):
    """A paired test of right and wrong, image by image.

    `bootstrap`: the lower end of the one-sided interval of the difference in the metric, at level 1 - alpha, resampling whole
    clips, must not be below -margin (non-inferiority). `mcnemar`: the exact one-sided test that the champion is right
    where the candidate is wrong more often than the other way round must not reject at alpha; it counts images, not clips,
    and knows no margin. Detectors are compared by mAP, which only the bootstrap can.
    """

    kind: Literal["champion"] = "champion"
    metric: Literal["top1", "map50_95", "map50"] = Field(default="top1", description="of a detector: map50_95, map50")
    method: Literal["bootstrap", "mcnemar"] = "bootstrap"
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    margin: float = Field(default=0.02, ge=0, lt=1, description="of the bootstrap: how much worse it may be, in the metric")

    @model_validator(mode="after")
    def _can_compare(self) -> Self:
        if self.method == "mcnemar" and self.metric != "top1":
            raise ValueError(f"mcnemar counts images that are right or wrong, which {self.metric} does not; use bootstrap")
        return self

    def judge(self, evidence: Evidence) -> list[Finding]:
        """One finding."""
        rival, mine = evidence.rival, evidence.evaluation
        if rival is None:
            return [Finding(gate="champion", passed=True, text="no other version serves production")]
        name = f"{evidence.model}/{rival.version}"
        if mine is None or (mine.outcomes is None and mine.boxes is None):
            return [missing_evidence("champion", f"no evaluation of these bytes: run `modelyard evaluate {evidence.label}`")]
        detects = mine.boxes is not None
        if detects != (self.metric != "top1"):
            known = "map50_95 and map50" if detects else "top1"
            return [missing_evidence("champion", f"{evidence.label} has no {self.metric} to compare; it has {known}")]
        finding = self._compare_boxes(rival, mine, name) if detects else self._compare(rival, mine, name)
        if finding is None:
            remedy = f"run `modelyard evaluate {name} --data FOLDER` with the data set of {evidence.label}"
            text = f"champion {name} was not scored on data set {mine.dataset[:12]}: {remedy}"
            return [missing_evidence("champion", text)]
        return [finding]

    def _compare_boxes(self, rival: Rival, mine: Evaluation, name: str) -> Finding | None:
        """None where the champion was not scored on the same images."""
        theirs = _comparable_boxes(rival, mine)
        if theirs is None or mine.boxes is None:
            return None
        low = lower_bound_of_map(mine.boxes, theirs, self.alpha, 0 if self.metric == "map50" else None)
        return Figure("champion", self._against(name), low).at_least(-self.margin)

    def _compare(self, rival: Rival, mine: Evaluation, name: str) -> Finding | None:
        """The same of classifiers."""
        theirs = _comparable(rival, mine)
        if theirs is None or mine.outcomes is None:
            return None
        if self.method == "mcnemar":
            p = mcnemar(mine.outcomes, theirs)
            return Figure("champion", f"McNemar p of being worse than champion {name}", p).at_least(self.alpha)
        low = lower_bound(mine.outcomes, theirs, self.alpha)
        return Figure("champion", self._against(name), low).at_least(-self.margin)

    def _against(self, name: str) -> str:
        return f"{SCORE_NAMES[self.metric]} difference from champion {name} ({1 - self.alpha:.0%} lower bound)"


def _comparable_boxes(rival: Rival, mine: Evaluation) -> BoxOutcomes | None:
    """The champion's detections, if they are of the very same images and boxes."""
    other = rival.evaluation
    if other is None or other.boxes is None or mine.boxes is None or other.dataset != mine.dataset:
        return None
    return other.boxes if other.boxes.same_images(mine.boxes) else None


def _comparable(rival: Rival, mine: Evaluation) -> Outcomes | None:
    """The champion's outcomes, if they are on the very same images in the same order."""
    other = rival.evaluation
    if other is None or other.outcomes is None or mine.outcomes is None or other.dataset != mine.dataset:
        return None
    same = other.outcomes.per_clip == mine.outcomes.per_clip and len(other.outcomes.right) == len(mine.outcomes.right)
    return other.outcomes if same else None


def lower_bound(mine: Outcomes, theirs: Outcomes, alpha: float, seed: int = 0) -> float:
    """The alpha-quantile of the difference in top-1, mine minus theirs, over resamples of whole clips."""
    if sum(mine.per_clip) != len(mine.right) or not mine.right:
        return math.nan
    difference = _bits(mine) - _bits(theirs)
    sizes = np.asarray(mine.per_clip)
    sums = np.add.reduceat(difference, np.concatenate(([0], np.cumsum(sizes)[:-1])))
    picks = np.random.default_rng(seed).integers(0, len(sizes), (_RESAMPLES, len(sizes)))
    return float(np.quantile(sums[picks].sum(axis=1) / sizes[picks].sum(axis=1), alpha))


def lower_bound_of_map(mine: BoxOutcomes, theirs: BoxOutcomes, alpha: float, overlap: int | None, seed: int = 0) -> float:
    """The same of mAP, at one overlap or over all of them; both are scored on the same draws of clips.

    A draw without any box says nothing and does not count.
    """
    weights = draws(len(mine.per_clip), seed)
    difference = mean_ap(average_precisions(mine, weights), overlap) - mean_ap(average_precisions(theirs, weights), overlap)
    difference = difference[np.isfinite(difference)]
    return float(np.quantile(difference, alpha)) if len(difference) else math.nan


def mcnemar(mine: Outcomes, theirs: Outcomes) -> float:
    """Exact one-sided p: how likely so many images that only the champion gets right are, if both are equally good."""
    from scipy.stats import binomtest  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    a, b = _bits(mine), _bits(theirs)
    only_theirs, only_mine = int(((b == 1) & (a == 0)).sum()), int(((a == 1) & (b == 0)).sum())
    if only_theirs + only_mine == 0:
        return 1.0
    return float(binomtest(only_theirs, only_theirs + only_mine, 0.5, alternative="greater").pvalue)


def _bits(outcomes: Outcomes) -> np.ndarray:
    return np.frombuffer(outcomes.right.encode(), np.uint8).astype(np.int64) - ord("0")
