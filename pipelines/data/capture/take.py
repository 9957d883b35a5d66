"""One take as a file: written under a hidden name, and put under its own, which nobody has, when it is whole."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.data.video.note import NOTE, TakeNote
from pipelines.data.video.writer import Recording, VideoWriter, encoding, publish_new
from registry.errors import InputError
from registry.files import storing

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


@contextmanager
def writing(folder: Path, stem: str, note: TakeNote) -> Generator[tuple[VideoWriter, Path]]:
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
        with storing(path), encoding(path, _REMEDY):
            writer = VideoWriter(work, Recording(note.camera, metadata={NOTE: note.text()}))
            yield writer, path
            writer.finish()
            publish_new(work, path)
    except FileExistsError as error:
        raise InputError(path, "is there already", "film the take again; it gets another number") from error
    finally:
        if writer is not None:
            writer.abandon()
        work.unlink(missing_ok=True)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


def next_number(folder: Path, prefix: str) -> int:
    """The number after the highest of the takes with this prefix."""
    pattern = re.compile(re.escape(prefix) + r"take-(\d+)\.\w+")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return 1 + max((int(match[1]) for match in map(pattern.fullmatch, names) if match), default=0)
