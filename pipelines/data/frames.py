"""Clips → frames: decode every frame, keep some of each second by its time, drop those that hardly changed."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from pipelines.data.video.note import TakeNote
from pipelines.data.video.picture import bgr, display_matrix, thumbnail
from pipelines.data.video.reader import ClipHeader, ClipReader, Decoded
from pipelines.data.video.ticks import Ticks
from registry.errors import InputError
from registry.records import Record
from serving.bundle.image_header import MAX_PIXELS

_JPEG_QUALITY = 95
REMEDY = "record it again or remove it"
"""For a clip of which only a part decodes."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames to keep: `fps` of each second, and each `min_change` grey levels from the one kept before."""

    fps: float = 5
    min_change: float = 1.5


@dataclass(frozen=True, slots=True)
class Frame:
    """One kept frame: its place in the clip, its picture, BGR uint8 `[height, width, 3]`, and its seconds since the first."""

    index: int
    image: MatLike
    seconds: float = 0.0

    def jpeg(self) -> bytes:
        """The frame as JPEG bytes."""
        whole, data = cv2.imencode(".jpg", self.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if not whole:
            raise InputError(f"frame {self.index}", "cannot be written as JPEG", "check the clip's size")
        return data.tobytes()


class ClipReport(Record):
    """What became of a clip's frames, and what the clip is.

    `decoded` is `kept`, `by_rate` and `unchanged` together; `undecodable` frames should be there and are not. `declared` is
    what the container says (0: nothing). `rate` is measured, frames a second. `damage` says in words what is missing.
    """

    decoded: int
    kept: int
    by_rate: int
    unchanged: int
    undecodable: int
    declared: int
    seconds: float
    width: int
    height: int
    rate: float
    turned: bool
    codec: str
    container: str
    captured: str = ""
    damage: str = ""
    take: TakeNote | None = None
    """What `modelyard capture` noted in the clip."""


@dataclass(slots=True)
class ClipFrames:
    """The frames to keep of a clip, one by one, and the report of it once all were drawn.

    Iterating raises InputError for a file that is no video, and at the end for one of which no frame decodes.
    """

    clip: Path
    sampling: Sampling
    _kept: int = field(default=0, init=False)
    _unchanged: int = field(default=0, init=False)
    _turned: bool = field(default=False, init=False)
    _sides: tuple[int, int] = field(default=(0, 0), init=False)
    _header: ClipHeader | None = field(default=None, init=False)
    _report: ClipReport | None = field(default=None, init=False)

    def __iter__(self) -> Generator[Frame]:
        """Decode the clip from its beginning."""
        self._kept = self._unchanged = 0
        with ClipReader(self.clip) as reader:
            self._header = reader.header
            yield from self._chosen(reader)
            self._report = self._reported(reader)
        if not self._report.decoded:
            size = "" if self._header.width else f", or its frames have more than {MAX_PIXELS:,} pixels"
            raise InputError(self.clip, f"is a video of which no frame decodes{size}", "record it again or convert it to MP4")

    @property
    def report(self) -> ClipReport:
        """What became of the frames, when all of them were drawn."""
        if self._report is None:
            raise RuntimeError("a clip's report is asked for before its frames were drawn")
        return self._report

    def captured(self, seconds: float) -> str:
        """When the frame at these seconds was filmed, as ISO 8601; empty where the camera did not say when it began."""
        created = self._header.created if self._header else None
        try:
            return (created + timedelta(seconds=seconds)).isoformat(timespec="milliseconds") if created else ""
        except OverflowError:
            return ""

    def _chosen(self, reader: ClipReader) -> Iterator[Frame]:
        """The frames at the rate that changed since the one kept before; only they are converted to pictures."""
        ticks, last = Ticks(self.sampling.fps, reader.header.resolution), None
        for decoded in reader.frames():
            if not ticks.wants(decoded.seconds):
                continue
            if self.sampling.min_change > 0:
                small = thumbnail(decoded.frame)
                if last is not None and _change(small, last) < self.sampling.min_change:
                    self._unchanged += 1
                    continue
                last = small
            yield self._frame(decoded)

    def _frame(self, decoded: Decoded) -> Frame:
        image = bgr(decoded.frame)
        self._kept += 1
        self._turned = display_matrix(decoded.frame) not in {None, (1 << 16, 0, 0, 1 << 16)}
        self._sides = image.shape[1], image.shape[0]
        return Frame(decoded.index, image, decoded.seconds)

    def _reported(self, reader: ClipReader) -> ClipReport:
        """The whole report of a clip that was read to its end."""
        header, decoded = reader.header, reader.decoded
        seconds = reader.seconds
        return ClipReport(
            decoded=decoded,
            kept=self._kept,
            by_rate=decoded - self._kept - self._unchanged,
            unchanged=self._unchanged,
            undecodable=reader.undecodable,
            declared=header.declared,
            seconds=round(seconds, 3),
            width=self._sides[0],
            height=self._sides[1],
            rate=round((decoded - 1) / seconds, 3) if seconds > 0 else 0.0,
            turned=self._turned,
            codec=header.codec,
            container=header.container,
            captured=self.captured(0.0),
            damage=reader.damage(),
            take=header.take,
        )


def extract(clip: Path, sampling: Sampling) -> list[Frame]:
    """Decode a clip to its end and return the frames to keep, in order; at least one. It raises what iterate_frames does."""
    return list(iterate_frames(clip, sampling))


def iterate_frames(clip: Path, sampling: Sampling) -> Generator[Frame]:
    """The frames to keep one by one, so that a long clip needs no memory.

    Raises InputError for a file that is no video; and at its end for a clip of which only a part decodes, which
    `ClipFrames` only reports.
    """
    frames = ClipFrames(clip, sampling)
    yield from frames
    if frames.report.damage:
        raise InputError(clip, frames.report.damage, REMEDY)


def _change(small: NDArray[np.float32], last: NDArray[np.float32]) -> float:
    return float(np.abs(small - last).mean())
