"""Facts, frozen. What rooms hand to each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from registry.records.base import Record as Record
from registry.records.exported import Latency as Latency
from registry.records.exported import Limits as Limits
from registry.records.exported import ParityFigures as ParityFigures
from registry.records.outcomes import BoxOutcomes as BoxOutcomes
from registry.records.outcomes import Leaked as Leaked
from registry.records.outcomes import Mistake as Mistake
from registry.records.outcomes import Outcomes as Outcomes
from registry.records.reliability import Calibration as Calibration
from registry.records.reliability import Gain as Gain
from registry.records.reliability import PredictionSets as PredictionSets
from registry.records.reliability import ReliabilityBin as ReliabilityBin
from registry.records.reliability import Robustness as Robustness
from registry.records.timing import Timing as Timing
from registry.refs import Ref


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model.

    `created_ms` belongs to its identity: a model that was deleted and made again starts at version 1.
    """

    model: str
    version: int
    created_ms: int
    source: str = ""
    run_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    status: str = "READY"

    @property
    def identity(self) -> tuple[int, int]:
        """Number and time of creation: what tells a version from a later one of the same number."""
        return (self.version, self.created_ms)

    @property
    def ref(self) -> Ref:
        """The exact reference."""
        return Ref(self.model, self.version)


class Actor(NamedTuple):
    """Who acts. `proven`: a server checked the name; otherwise it is self-declared."""

    name: str
    proven: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One model as it is now: alias → version, and the times of creation of those that are known without asking."""

    aliases: Mapping[str, int]
    created_ms: Mapping[int, int]


class Finding(Record):
    """What one gate measured: the figure, its limit, and a sentence.

    `metric` is the figure's name where it is one of an evaluation, and `part` the class or slice that it is of.
    """

    gate: str
    passed: bool
    text: str
    figure: float | None = None
    limit: float | None = None
    metric: str = ""
    part: str = ""


class ClassScore(Record):
    """Precision, recall and F1 of one class, and how many test images it had.

    Of a detector: its boxes instead of images, and its average precision as COCO defines it, over overlaps of 0.5 to 0.95
    and at 0.5.
    `clips` and `train_clips`: of how many test clips those are, and how many training had; None where that is not known.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    clips: int | None = None
    train_clips: int | None = None
    ap: float | None = None
    ap50: float | None = None


class SliceScore(Record):
    """Top-1 of a named part of the held-out images: those whose clip a pattern is found in; of a detector its `metrics`."""

    images: int
    top1: float = 0.0
    pattern: str = ""
    metrics: dict[str, float] = {}


HEADLINES = {"classify": "top1", "detect": "map50_95"}
"""Task → the metric that stands for a version where there is room for one figure."""
BACKGROUND = "background"
"""The last row and column of a detector's confusion: what is no box, or was not detected."""
SCORE_NAMES = {"top1": "top-1", "map50_95": "mAP50-95", "map50": "mAP50"}


class Evaluation(Record):
    """Scores of one version's exact bytes on one data set's held-out split.

    `interval` is the 95 % bootstrap interval of top-1, resampled by clip: frames of one clip are not
    independent, so an interval over frames would be too narrow. `mistakes` are the surest wrong answers, not all.
    `leaked`: what the score is worth where some of the images are leaked. `calibration`, `sets` and `robustness` are a
    classifier's, None where they were not measured.

    A detector's interval is of mAP50-95. Its confusion has a last row and column for the background, its precision and recall
    are those at the score from which on it answers, and `boxes` is what two detectors are compared by.
    """

    dataset: str
    split: str
    images: int
    clips: int
    metrics: dict[str, float]
    interval: tuple[float, float]
    classes: list[ClassScore]
    confusion: list[list[int]]
    slices: dict[str, SliceScore] = {}
    outcomes: Outcomes | None = None
    mistakes: list[Mistake] = []
    leaked: Leaked | None = None
    calibration: Calibration | None = None
    sets: PredictionSets | None = None
    robustness: Robustness | None = None
    task: Literal["classify", "detect"] = "classify"
    boxes: BoxOutcomes | None = None

    @property
    def headline(self) -> str:
        """The metric that the interval is of."""
        return HEADLINES[self.task]

    @property
    def score(self) -> float:
        """The headline metric; NaN where it was not measured."""
        return self.metrics.get(self.headline, math.nan)

    @property
    def score_name(self) -> str:
        """What people call the headline metric."""
        return SCORE_NAMES[self.headline]


class DataVerdict(Record):
    """The verdict of the data checks on a data set.

    `checked`: whether any check was made. `off` and `lowered` name the checks that the job silenced: not made, or made to
    warn of what would stop training by itself. `leaks` are the held-out images that an earlier split gives away (None: they
    were not looked for, as older releases did not), `leaked_share` is the share of the test split that is, and `leak_errors`
    how many of the errors are about leaks.
    """

    dataset: str
    holds: bool
    errors: int
    warnings: int
    checked: bool = True
    off: list[str] = []
    lowered: list[str] = []
    leaks: int | None = None
    leaked_share: float = 0.0
    leak_errors: int = 0


class Scan(Record):
    """What a scanner found in a folder of files. `formats` counts files by ending; `dangerous` names what it flagged."""

    scanner: str
    files: int
    formats: dict[str, int]
    pickles: list[str]
    dangerous: list[str]


class Approval(Record):
    """A person's word for these bytes at a stage. `proven`: a server checked who it was."""

    actor: str
    proven: bool


class Rival(Record):
    """Who holds production now, and how it did on the candidate's own held-out images."""

    version: int
    created_ms: int
    digest: str
    evaluation: Evaluation | None = None


class PolicyChange(Record):
    """The policy that judges, against the one by which a version last came to the stage.

    `since`: that promotion's row, None for the first one. `row`: the judging policy's, None where it is not recorded yet.
    """

    since: int | None
    changed: bool
    row: int | None
    set_by: str
    approvals: list[Approval] = []


class Evidence(Record):
    """Everything known about one version's exact bytes, for gates to judge. Absent means not measured.

    `gains`: what more clips of a class are predicted to be worth, for the advice at a refusal; no gate looks at them.
    """

    model: str
    version: int
    created_ms: int
    digest: str
    dataset: str | None = None
    author: str | None = None
    evaluation: Evaluation | None = None
    data: DataVerdict | None = None
    parity: list[ParityFigures] = []
    latency: Latency | None = None
    bundle: str | None = None
    bundle_mb: float | None = None
    card_missing: list[str] | None = None
    scans: dict[str, Scan] = {}
    approvals: list[Approval] = []
    train_usd: Decimal | None = None
    serve_usd_per_month: Decimal | None = None
    serve_quote: str = ""
    rival: Rival | None = None
    policy: PolicyChange | None = None
    gains: dict[str, Gain] = {}
    stage: str = "STAGE"

    @property
    def label(self) -> str:
        """The version's reference, for sentences."""
        return f"{self.model}/{self.version}"

    def metric(self, name: str) -> float:
        """A metric of the evaluation; NaN where it was not measured, which no gate lets pass."""
        return self.evaluation.metrics.get(name, math.nan) if self.evaluation else math.nan


class Proof(Record):
    """On what a verdict rests: the bytes, the data, the policy with its thresholds, the evidence and the tools."""

    manifest: dict[str, str]
    dataset: str | None
    policy: list[dict[str, Any]]
    policy_hash: str
    evidence: Evidence
    tools: dict[str, str]
