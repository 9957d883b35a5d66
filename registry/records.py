"""Facts, frozen. What rooms hand to each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from registry.refs import Ref


class Record(BaseModel):
    """A frozen record that refuses what it does not know and reads back from its own JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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

    @property
    def ref(self) -> Ref:
        """The exact reference."""
        return Ref(self.model, self.version)


class Finding(Record):
    """What one gate saw: the figure, the limit it was held to, and a sentence."""

    gate: str
    passed: bool
    text: str
    figure: float | None = None
    limit: float | None = None


class ClassScore(Record):
    """Precision, recall and F1 of one class, and how many test images it had."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class Evaluation(Record):
    """Scores of one version's exact bytes on one data set's held-out split.

    `interval` is the 95 % bootstrap interval of top-1, resampled by clip: frames of one clip are not
    independent, so an interval over frames would be too narrow.
    """

    dataset: str
    split: str
    images: int
    clips: int
    metrics: dict[str, float]
    interval: tuple[float, float]
    classes: list[ClassScore]
    confusion: list[list[int]]


class ParityFigures(Record):
    """How far one exported variant's answers are from the trained model's, from image bytes.

    `control_agreement` is the same agreement after pairing every image with a wrong one: a
    measurement that would not notice a broken export does not drop here.
    """

    variant: str
    images: int
    top1_agreement: float
    max_abs_diff: float
    mean_abs_diff: float
    control_agreement: float
    control_max_abs_diff: float


class Latency(Record):
    """Milliseconds from image bytes to answer, in a fresh process, after warm-up."""

    p50_ms: float
    p95_ms: float
    first_ms: float
    requests: int


class Evidence(Record):
    """Everything known about one version's exact bytes, for gates to judge. Absent means not measured."""

    model: str
    version: int
    created_ms: int
    digest: str
    evaluation: Evaluation | None = None
    parity: list[ParityFigures] = []
    latency: Latency | None = None
    bundle: str | None = None
    bundle_mb: float | None = None
    train_usd: Decimal | None = None

    def metric(self, name: str) -> float:
        """A metric of the evaluation; NaN where it was not measured, which no gate lets pass."""
        return self.evaluation.metrics.get(name, math.nan) if self.evaluation else math.nan
