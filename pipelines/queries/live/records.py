"""What is asked of `modelyard live`, and what it gives: an answer a frame, and a summary at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.queries.answers import Answer
from registry.records import Record

_ABOUT_ALL = {"image", "served_by", "error"}
"""Fields of an answer that are the same for every frame: the summary has them."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How to look. `threshold` is the least probability or score, in place of the version's own; None goes by that.

    `frames` and `seconds` of the source's own time end it early; `window` shows it.
    """

    out: Path | None = None
    overwrite: bool = False
    window: bool = False
    threshold: float | None = None
    frames: int | None = None
    seconds: float | None = None


class FrameAnswer(Answer):
    """What one frame shows. `latency_ms` is from the picture to the answer; `unsure`: no single class is probable enough."""

    unsure: bool
    latency_ms: float

    def line(self) -> str:
        """The answer as one line of JSON."""
        return json.dumps(self.model_dump(mode="json", exclude=_ABOUT_ALL), ensure_ascii=True)


class LiveSummary(Record):
    """What was seen. `ended` says why it ended, `dropped` counts pictures of a camera that came while another was answered.

    `seconds` is the time between the first and the last frame in the source, `per_second` how many frames were answered in a
    second of this machine's time, encoding and drawing included. Latencies are those of the last 10,000 frames, in ms.
    """

    model: str
    source: str
    frames: int
    dropped: int
    unsure: int
    seconds: float
    per_second: float
    latency_p50_ms: float
    latency_p95_ms: float
    ended: str
    out: str | None = None

    def __str__(self) -> str:
        """What people read."""
        spent = f"{self.per_second:g} frames a second, latency p50 {self.latency_p50_ms:g} ms, p95 {self.latency_p95_ms:g} ms"
        dropped = f", {self.dropped} dropped while it was busy" if self.dropped else ""
        written = f"; the video is {self.out}" if self.out else ""
        return f"{self.model} answered {self.frames} frames of {self.source} ({self.ended}){dropped}: {spent}{written}"

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"summary": self.model_dump(mode="json")}
