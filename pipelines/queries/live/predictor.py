"""A bundle's answers about frames: the runner that parity was measured with, and when an answer counts as unsure."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image

from pipelines.queries.answers import Answer
from pipelines.queries.live.records import FrameAnswer
from pipelines.queries.scoring.scorer import rounded
from serving.bundle.variants import MAIN
from serving.inference.prediction import classified, detected
from serving.inference.runner import Array, Runner

if TYPE_CHECKING:
    from serving.bundle.bundle import Bundle

_GREY = (114, 114, 114)


class FramePredictor:
    """One bundle on this machine's CPU, a frame at a time.

    Without a `threshold` a classifier is unsure where its version's prediction sets name several classes, and a detector gives
    the boxes above the least score that its bundle has. A `threshold` takes the place of the first and adds to the second.
    """

    def __init__(
        self, bundle: Bundle, served_by: str, sets: Callable[[Answer], Answer], threshold: float | None = None
    ) -> None:
        """Load the bundle, and run it once: the first answer takes longer."""
        self._labels, self._served_by = bundle.labels, served_by
        self._sets, self._threshold = sets, threshold
        self._runner = Runner(bundle.variant(MAIN.name), bundle.preprocess, len(os.sched_getaffinity(0)), fitted=True)
        self._runner.rows([Image.new("RGB", (64, 64), _GREY)])

    @property
    def labels(self) -> list[str]:
        """The classes, in the model's order."""
        return list(self._labels)

    @property
    def detects(self) -> bool:
        """Whether it is a detector."""
        return self._runner.detects

    def answer(self, picture: Image.Image, source: str, frame: int, seconds: float) -> FrameAnswer:
        """What an RGB picture shows. Raises InputError for sides of which one is a hundred times the other."""
        began = time.perf_counter()
        (row,) = self._runner.rows([picture])
        latency_ms = round((time.perf_counter() - began) * 1e3, 2)
        fields = rounded(self._prediction(row))
        about = {"image": source, "frame": frame, "seconds": round(seconds, 4), "served_by": self._served_by}
        answer = FrameAnswer.model_validate({**about, **fields, "latency_ms": latency_ms, "unsure": False})
        return self._judged(answer)

    def _prediction(self, row: Array) -> dict[str, object]:
        if not self.detects:
            return classified(self._labels, row.tolist()).plain()
        kept = row if self._threshold is None else row[row[:, 4] >= self._threshold]
        return detected(self._labels, kept.tolist()).plain()

    def _judged(self, answer: FrameAnswer) -> FrameAnswer:
        """The answer, marked where a classifier is unsure."""
        if self.detects:
            return answer
        if self._threshold is not None:
            return answer.model_copy(update={"unsure": (answer.probability or 0.0) < self._threshold})
        could_be = self._sets(answer).could_be
        return answer.model_copy(update={"could_be": could_be, "unsure": len(could_be or []) > 1})
