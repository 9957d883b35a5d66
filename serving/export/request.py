"""An export's request and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from registry.records import Latency, ParityFigures
from serving.bundle.bundle import Bundle
from serving.bundle.variants import MAIN, VariantSpec
from serving.export.card import Facts
from serving.export.reference import Answers, Reference
from serving.export.subprocess_job import Bounds


@dataclass(frozen=True, slots=True)
class Tools:
    """The interpreters that exporting needs besides this one, and the limits of each subprocess."""

    tf_python: Path
    node: str
    node_modules: Path
    bounds: Bounds

    @property
    def browser(self) -> Path:
        """Our TypeScript, compiled."""
        return self.node_modules.parent / "dist"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export: a version's bytes, which variants, and the images to measure and to calibrate on."""

    reference: Reference
    facts: Facts
    wanted: Sequence[VariantSpec]
    images: Sequence[Path]
    calibration: Sequence[Path] = ()

    def of(self, *runtimes: str) -> list[VariantSpec]:
        """The variants of some runtimes, the main one first."""
        specs = [spec for spec in self.wanted if spec.variant.runtime in runtimes]
        return sorted(specs, key=lambda spec: (spec.variant.name != MAIN.name, spec.variant.name))

    @property
    def most(self) -> int | None:
        """How many detections an image has at most; None for a classifier."""
        return self.reference.info.suppression.most if self.reference.info.task == "detect" else None


@dataclass(slots=True)
class Measured:
    """Answers by variant, milliseconds per image, and errors of optional variants.

    `answers` come from the variant's own graph on whole pictures, `served` from the code that serves it.
    """

    trained: Answers
    answers: dict[str, Answers] = field(default_factory=dict)
    served: dict[str, Answers] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Built:
    """A sealed bundle and its measurements."""

    bundle: Bundle
    parity: list[ParityFigures]
    latency: Latency | None
    measured: Measured
