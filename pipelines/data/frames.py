"""Clips → frames: decode every frame, keep some of each second, drop those that hardly changed."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from pipelines.data.sources import check_name
from registry.errors import InputError

_WHOLE = 0.95
"""A clip counts as whole when this share of the frames that its header declares can be decoded.

Headers of whole clips are off by a frame or two; a clip cut short is off by far more.
"""
_THUMB = (16, 16)
_JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames to keep: `fps` of each second, and each `min_change` grey levels from the one kept before."""

    fps: float = 5
    min_change: float = 1.5


@dataclass(frozen=True, slots=True)
class Frame:
    """One kept frame: its place in the clip, its picture, BGR uint8 `[height, width, 3]`, and its time by the clip's rate."""

    index: int
    image: MatLike
    seconds: float = 0.0

    def jpeg(self) -> bytes:
        """The frame as JPEG bytes."""
        whole, data = cv2.imencode(".jpg", self.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if not whole:
            raise InputError(f"frame {self.index}", "cannot be written as JPEG", "check the clip's size")
        return data.tobytes()


@contextmanager
def _opened(clip: Path) -> Generator[cv2.VideoCapture]:
    """A clip, open; closed after. A damaged one is our sentence, not pages of the decoder's."""
    check_name(clip)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise InputError(clip, "is not a video that can be decoded", "record it again or convert it to MP4")
        yield capture
    finally:
        capture.release()


def extract(clip: Path, sampling: Sampling) -> list[Frame]:
    """Decode a clip to its end and return the frames to keep, in order; at least one.

    Raises InputError for a file that is no video, and for a clip of which only a part can be decoded: the
    frames that are left would stand for a recording that is not there.
    """
    return list(iterate_frames(clip, sampling))


def iterate_frames(clip: Path, sampling: Sampling) -> Generator[Frame]:
    """The same frames one by one, so that a long clip needs no memory; what is wrong with it is raised at its end."""
    with _opened(clip) as capture:
        declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = capture.get(cv2.CAP_PROP_FPS)
        step = max(rate / sampling.fps, 1.0) if rate > 0 else 1.0
        decoded, wanted, last = 0, 0.0, None
        while capture.grab():
            if decoded >= wanted:
                wanted += step
                whole, image = capture.retrieve()
                if not whole:
                    break
                thumb = _thumbnail(image)
                if last is None or float(np.abs(thumb - last).mean()) >= sampling.min_change:
                    yield Frame(decoded, image, decoded / rate if rate > 0 else 0.0)
                    last = thumb
            decoded += 1
    if not decoded:
        raise InputError(clip, "is not a video that can be decoded", "record it again or convert it to MP4")
    if decoded < _WHOLE * declared - 1:
        raise InputError(clip, f"is cut short: {decoded} of {declared} frames decode", "record it again or remove it")


def _thumbnail(image: MatLike) -> NDArray[np.float32]:
    """A small grey picture to measure change by."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return cv2.resize(grey, _THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)
