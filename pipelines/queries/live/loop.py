"""Frame after frame: read, answered, drawn, and handed on; until the source ends, enough was seen, or somebody stops it."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from pipelines.queries.live.records import FrameAnswer, LiveOptions
from pipelines.queries.live.sources import Frame, Source
from pipelines.queries.live.stop import Stop
from registry.errors import ModelyardError

_REMEMBERED = 10_000
"""Latencies that are kept."""
_RATE_OVER = 30
"""Frames over which the rate in the picture is taken."""

FrameSink = Callable[[FrameAnswer], None]
DrawnSink = Callable[[Image.Image, float], None]
"""Takes a drawn picture and its seconds."""


class Answers(Protocol):
    """What answers about frames."""

    def answer(self, picture: Image.Image, source: str, frame: int, seconds: float) -> FrameAnswer:
        """What a picture shows. Raises ModelyardError."""
        ...


class Draws(Protocol):
    """What draws an answer into its picture."""

    def draw(self, picture: Image.Image, answer: FrameAnswer, per_second: float) -> Image.Image:
        """A copy with the answer in it."""
        ...


@dataclass
class Progress:
    """What has been seen. `failure` is why the source broke off, if it did."""

    frames: int = 0
    unsure: int = 0
    seconds: float = 0.0
    ended: str = "it ended"
    failure: ModelyardError | None = None
    latencies: deque[float] = field(default_factory=lambda: deque[float](maxlen=_REMEMBERED))
    began: float = field(default_factory=time.monotonic)
    spent: float = 0.0
    """Seconds of this machine's time, set at the end."""
    _marks: deque[float] = field(default_factory=lambda: deque[float](maxlen=_RATE_OVER))

    def count(self, answer: FrameAnswer) -> None:
        """One more frame was answered."""
        self.frames += 1
        self.unsure += answer.unsure
        self.seconds = answer.seconds or 0.0
        self.latencies.append(answer.latency_ms)
        self._marks.append(time.monotonic())

    @property
    def rate(self) -> float:
        """Frames a second now."""
        spent = self._marks[-1] - self._marks[0] if self._marks else 0.0
        return (len(self._marks) - 1) / spent if spent else 0.0

    @property
    def per_second(self) -> float:
        """Frames a second altogether."""
        return self.frames / self.spent if self.spent else 0.0

    def latency(self, percent: int) -> float:
        """A percentile of the latencies in ms; 0 without any."""
        if len(self.latencies) < 2:  # noqa: PLR2004 quantiles need two
            return sum(self.latencies)
        return statistics.quantiles(self.latencies, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True)
class Loop:
    """Looks at one source. Answers go to `answers`, pictures with them to `drawn`; nothing is drawn that nobody takes."""

    source: Source
    predictor: Answers
    overlay: Draws
    stop: Stop
    options: LiveOptions
    answers: tuple[FrameSink, ...] = ()
    drawn: tuple[DrawnSink, ...] = ()

    def run(self) -> Progress:
        """Look until it ends. What breaks the source off is in `failure`; what a sink raises is raised, such as a full disk."""
        progress = Progress()
        frames = self.source.frames()
        while (step := self._next(frames, progress)) is not None:
            frame, answer = step
            progress.count(answer)
            if self.drawn:
                picture = self.overlay.draw(frame.picture, answer, progress.rate)
                for show in self.drawn:
                    show(picture, frame.seconds)
            try:
                for take in self.answers:
                    take(answer)
            except BrokenPipeError:  # `| head`: its reader has seen enough
                progress.ended = "nobody reads its answers any more"
                break
        progress.spent = time.monotonic() - progress.began
        return progress

    def _next(self, frames: Iterator[Frame], progress: Progress) -> tuple[Frame, FrameAnswer] | None:
        """The next frame with its answer; None at the end, whose reason is kept."""
        if self.options.frames is not None and progress.frames >= self.options.frames:
            progress.ended = "--frames"
            return None
        try:
            with self.stop.waiting():
                frame = next(frames, None)
                if frame is None:
                    return None
                if self.options.seconds is not None and frame.seconds >= self.options.seconds:
                    progress.ended = "--seconds"
                    return None
                return frame, self.predictor.answer(frame.picture, self.source.name, progress.frames, frame.seconds)
        except KeyboardInterrupt:
            progress.ended = "stopped"
        except ModelyardError as error:
            progress.ended, progress.failure = "it broke off", error
        return None
