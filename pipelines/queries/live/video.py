"""The video of `modelyard live`: written under a hidden name beside the one that it gets when it is whole."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipelines.data.video.writer import Recording, VideoWriter, encoding, publish_new
from registry.errors import InputError
from registry.files import storing

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_UNIT = Fraction(1, 90_000)
"""The usual clock of videos: every usual frame rate is a whole number of its ticks."""
_REMEDY = "free some space or choose another --out, then run it again"


def check_video(out: Path, source: str, *, overwrite: bool) -> None:
    """Raise InputError for a file that cannot become the video."""
    if out.suffix.lower() not in CONTAINERS:
        raise InputError(f"--out {out}", "is no video's name", f"let it end in {', '.join(CONTAINERS)}")
    if out.is_dir() or not out.parent.is_dir():
        why = "is a folder" if out.is_dir() else f"its folder {out.parent} does not exist"
        raise InputError(f"--out {out}", why, "name a file in a folder that exists")
    if os.path.lexists(out):
        if os.path.exists(source) and out.exists() and out.samefile(source):  # noqa: PTH110 a source may be an address
            raise InputError(f"--out {out}", "is the source itself", "name another file")
        if not overwrite:
            raise InputError(f"--out {out}", "exists already", "name another file, or add --force")


class Film:
    """Takes RGB pictures. One of another size than the first is fitted into that, with black beside it."""

    def __init__(self, writer: VideoWriter) -> None:
        """Nothing is written yet."""
        self._writer = writer
        self._size: tuple[int, int] | None = None

    def add(self, picture: Image.Image, seconds: float) -> None:
        """Add a picture at its time."""
        self._size = self._size or picture.size
        fitted = picture if picture.size == self._size else ImageOps.pad(picture, self._size)
        self._writer.add(np.asarray(fitted), seconds)


@contextmanager
def writing_video(out: Path, source: str, *, overwrite: bool) -> Generator[Film]:
    """What takes the pictures. The file is there when the block ends well and has written any; otherwise nothing stays.

    Raises StorageError where the disk takes no more, and InputError where somebody else has made a file of that name
    meanwhile, unless it may be overwritten.
    """
    work = out.parent / f".{out.name}.{os.getpid()}.part"
    recording = Recording(source, CONTAINERS[out.suffix.lower()], _UNIT, "rgb24")
    writer = None
    try:
        with storing(out), encoding(out, _REMEDY):
            writer = VideoWriter(work, recording)
            yield Film(writer)
            if writer.frames:
                writer.finish()
                _publish(work, out, overwrite=overwrite)
    except FileExistsError as error:
        raise InputError(f"--out {out}", "is there now", "name another file, or add --force") from error
    finally:
        if writer is not None:
            writer.abandon()
        work.unlink(missing_ok=True)


def _publish(work: Path, out: Path, *, overwrite: bool) -> None:
    with work.open("rb") as file:
        os.fsync(file.fileno())
    if overwrite:
        work.replace(out)
    else:
        publish_new(work, out)
