"""One take as a file: written under a hidden name, and put under its own, which nobody has, when it is whole."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from cv2.typing import MatLike

from pipelines.data.video.note import NOTE, TakeNote
from registry.errors import InputError, StorageError, UnavailableError
from registry.files import disk_full_message, storing

_UNIT = Fraction(1, 1000)
_QUALITY = {"libx264": {"crf": "18", "preset": "veryfast"}, "mpeg4": {"qmin": "2", "qmax": "4"}}
_REMEDY = "free some space or choose another --out, then film the take again"


@dataclass(frozen=True, slots=True)
class Take:
    """A take that was finished."""

    file: Path
    note: TakeNote
    seconds: float
    frames: int

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"file": str(self.file), "seconds": round(self.seconds, 3), "frames": self.frames, **self.note.model_dump()}


class TakeWriter:
    """Encodes pictures with the times at which they came."""

    def __init__(self, path: Path, note: TakeNote) -> None:
        """Begin a file."""
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        self._container.metadata[NOTE] = note.text()
        self._camera = note.camera
        self._stream: Any = None
        self._began = 0.0
        self.frames = 0
        self.seconds = 0.0

    def add(self, image: MatLike, seconds: float, taken: datetime | None = None) -> None:
        """Add a picture; the first one's date is the file's. Two pictures of one time are one.

        Sides are cut to even numbers, as 4:2:0 needs.
        """
        image = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2], np.uint8)
        stream = self._stream or self._begin(image, seconds, taken)
        if self.frames and seconds - self._began < self.seconds + float(_UNIT):
            return
        if image.shape[:2] != (stream.height, stream.width):
            raise UnavailableError(self._camera, "has changed the size of its pictures within a take", "film the take again")
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        self.seconds = seconds - self._began
        frame.pts, frame.time_base = round(self.seconds / _UNIT), _UNIT
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
        self._stream.codec_context.time_base = _UNIT
        self._began = seconds
        return self._stream


@contextmanager
def writing(folder: Path, stem: str, note: TakeNote) -> Generator[tuple[TakeWriter, Path]]:
    """A writer and the path that its file gets when the block ends well. Otherwise nothing stays.

    Raises StorageError where the disk takes no more.
    """
    path = folder / f"{stem}.mp4"
    work = folder / f".{stem}.{os.getpid()}.part"
    is_new = not folder.exists()
    with storing(path):
        folder.mkdir(parents=True, exist_ok=True)
    writer = None
    try:
        with storing(path), _translated(path):
            writer = TakeWriter(work, note)
            yield writer, path
            writer.finish()
            _publish(work, path)
    except FileExistsError as error:
        raise InputError(path, "is there already", "film the take again; it gets another number") from error
    finally:
        if writer is not None:
            writer.abandon()
        work.unlink(missing_ok=True)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


def _publish(work: Path, path: Path) -> None:
    """Give the file its name. A link never replaces; where there are none, a renaming has to do."""
    try:
        os.link(work, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(path) from None
        work.rename(path)


@contextmanager
def _translated(path: Path) -> Generator[None]:
    """FFmpeg's own errors of a full disk, in our words."""
    try:
        yield
    except av.FFmpegError as error:
        why = disk_full_message(str(error)) or error.strerror or type(error).__name__
        raise StorageError(path, f"could not be written ({why})", _REMEDY) from error


def next_number(folder: Path, prefix: str) -> int:
    """The number after the highest of the takes with this prefix."""
    pattern = re.compile(re.escape(prefix) + r"take-(\d+)\.\w+")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return 1 + max((int(match[1]) for match in map(pattern.fullmatch, names) if match), default=0)
