"""Pictures with their times as a video file, and the moment at which such a file gets its name."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from cv2.typing import MatLike

from registry.errors import StorageError, UnavailableError
from registry.files import disk_full_message

_QUALITY = {"libx264": {"crf": "18", "preset": "veryfast"}, "mpeg4": {"qmin": "2", "qmax": "4"}}
_WITH_INDEX = {"mp4", "mov"}
"""Containers whose index can stand at the beginning, so that a player starts before it has the whole file."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a video is written as. `subject` is whose pictures they are, in messages; `unit` is what times are rounded to."""

    subject: str
    container: str = "mp4"
    unit: Fraction = Fraction(1, 1000)
    pixels: Literal["bgr24", "rgb24"] = "bgr24"
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


class VideoWriter:
    """Encodes pictures with the times at which they came: H.264, or MPEG-4 where that cannot be encoded."""

    def __init__(self, path: Path, recording: Recording) -> None:
        """Begin a file."""
        options = {"movflags": "faststart"} if recording.container in _WITH_INDEX else {}
        self._container = av.open(str(path), "w", format=recording.container, options=options)
        self._container.metadata.update(recording.metadata)
        self._recording = recording
        self._stream: Any = None
        self._began = 0.0
        self.frames = 0
        self.seconds = 0.0

    def add(self, image: MatLike, seconds: float, taken: datetime | None = None) -> None:
        """Add a picture; the first one's date is the file's. Two pictures of one time are one.

        Sides are cut to even numbers, as 4:2:0 needs. Raises UnavailableError for another size than the first picture's.
        """
        unit = self._recording.unit
        image = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2], np.uint8)
        stream = self._stream or self._begin(image, seconds, taken)
        if self.frames and seconds - self._began < self.seconds + float(unit):
            return
        if image.shape[:2] != (stream.height, stream.width):
            raise UnavailableError(self._recording.subject, "has changed the size of its pictures", "start again")
        frame = av.VideoFrame.from_ndarray(image, format=self._recording.pixels)
        self.seconds = seconds - self._began
        frame.pts, frame.time_base = round(self.seconds / unit), unit
        self._container.mux(stream.encode(frame))
        self.frames += 1

    def finish(self) -> None:
        """Write what is still in the encoder, and the index."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close the file however it is."""
        try:
            self._container.close()
        except (av.FFmpegError, OSError, ValueError):  # what failed before fails again; the file is removed
            return

    def _begin(self, image: MatLike, seconds: float, taken: datetime | None) -> Any:
        if taken:
            self._container.metadata["creation_time"] = taken.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
        codec = next(name for name in _QUALITY if name in av.codecs_available)
        self._stream = self._container.add_stream(codec, rate=30, options=_QUALITY[codec])
        self._stream.height, self._stream.width = image.shape[:2]
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = self._recording.unit
        self._began = seconds
        return self._stream


def publish_new(work: Path, path: Path) -> None:
    """Give a file its name, which nobody has. Raises FileExistsError.

    A link never replaces; where there are none, a renaming has to do.
    """
    try:
        os.link(work, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(path) from None
        work.rename(path)


@contextmanager
def encoding(path: Path, remedy: str) -> Generator[None]:
    """FFmpeg's own errors of a full disk, in our words: StorageError."""
    try:
        yield
    except av.FFmpegError as error:
        why = disk_full_message(str(error)) or error.strerror or type(error).__name__
        raise StorageError(path, f"could not be written ({why})", remedy) from error
