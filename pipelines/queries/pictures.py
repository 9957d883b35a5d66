"""What a user asks about: picture files, folders, patterns, videos and standard input, one picture after the other."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

from pipelines.data.sources import CLIP_ENDINGS, IMAGE_ENDINGS, printable
from registry.errors import InputError, ModelyardError, NotFoundError

STDIN = "-"
MOST_BYTES = 20_000_000
"""A larger file is not sent: it is what our server takes (`serving.server.middleware.MAX_BYTES`)."""


class Picture(NamedTuple):
    """One picture to ask about. `read` gives its file's bytes, or raises ModelyardError for what is wrong with it.

    Of a video it is a frame: its place in the video and its time in seconds.
    """

    name: str
    read: Callable[[], bytes]
    frame: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Sources:
    """The files that were named, in order, and those of folders that are neither pictures nor videos."""

    files: list[Path] = field(default_factory=list[Path])
    skipped: list[Path] = field(default_factory=list[Path])

    def pictures(self, fps: float, done: Callable[[int, int], None]) -> Iterator[Picture]:
        """Every picture; of a video `fps` frames a second. `done` is called with (files passed, files) after each file."""
        for count, path in enumerate(self.files, 1):
            yield from pictures_of(path, fps)
            done(count, len(self.files))


def pictures_of(path: Path, fps: float) -> Iterator[Picture]:
    """A file's pictures: of a video `fps` frames a second."""
    if path.suffix.lower() in CLIP_ENDINGS:
        yield from _frames(path, fps)
    else:
        yield Picture(printable(path), partial(_read, path))


def sources_of(names: Sequence[Path]) -> Sources:
    """The files behind names: a folder's pictures and videos with those of its sub-folders, in the order of names.

    Hidden entries and links to folders are not followed. What does not exist stays in the list, as a picture that cannot be
    read. Raises InputError where nothing is left to ask about.
    """
    sources = Sources()
    for name in names:
        for path in _expanded(name):
            if _is_folder(path):
                _add_folder(path, sources)
            else:
                sources.files.append(path)
    if not sources.files:
        listed = ", ".join(printable(name) for name in names[:3])
        raise InputError(listed, "holds no pictures and no videos", f"give files that end in {' '.join(sorted(IMAGE_ENDINGS))}")
    return sources


def _expanded(name: Path) -> Iterable[Path]:
    """The paths that a pattern matches, by name; a path that exists is itself, whatever its characters."""
    if os.path.lexists(name) or not glob.has_magic(str(name)):
        return [name]
    try:
        # Not `glob.glob`: it follows links to folders, and two of them in a circle are 2^40 paths.
        matches = sorted(Path(name.anchor or ".").glob(str(name.relative_to(name.anchor))))
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"pattern '{name}'", f"cannot be read ({error})", "write ** alone between two slashes") from error
    if not any(part.startswith(".") for part in name.parts):  # as in a shell
        matches = [path for path in matches if not any(part.startswith(".") for part in path.parts)]
    return matches or [name]


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):  # not there, a circle of links, a name too long: reading it says which
        return False


def _add_folder(folder: Path, sources: Sources) -> None:
    """A folder's files, without those of folders that links lead to: a link may lead back. One that is locked stays listed."""

    def locked(error: OSError) -> None:
        sources.files.append(Path(str(error.filename)))

    for root, folders, names in os.walk(folder, onerror=locked):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(root) / name
            known = path.suffix.lower() in IMAGE_ENDINGS | CLIP_ENDINGS
            (sources.files if known else sources.skipped).append(path)


def _frames(clip: Path, fps: float) -> Iterator[Picture]:
    """A video's frames, as the data set's are cut; then what is wrong with it, as a picture that cannot be read."""
    from pipelines.data.frames import Sampling, iterate_frames

    name = printable(clip)
    try:
        _check_regular(clip)
        for frame in iterate_frames(clip, Sampling(fps=fps, min_change=0)):
            yield Picture(name, frame.jpeg, frame.index, round(frame.seconds, 3))
    except ModelyardError as error:
        yield Picture(name, partial(_fail, error))
    except Exception as error:  # noqa: BLE001 a decoder's: this video's trouble, not the run's
        why = f"cannot be decoded ({type(error).__name__})"
        yield Picture(name, partial(_fail, InputError(name, why, "convert it to MP4")))


def _fail(error: ModelyardError) -> NoReturn:
    raise error


def _read(path: Path) -> bytes:
    """A file's bytes, or standard input's."""
    if str(path) == STDIN:
        data = sys.stdin.buffer.read(MOST_BYTES + 1)
    else:
        try:
            _check_regular(path)
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise _unreadable(path, error) from error
    if not data:
        raise InputError(printable(path), "is empty", "give a whole image file")
    if len(data) > MOST_BYTES:
        raise InputError(printable(path), f"is larger than {MOST_BYTES:,} bytes", "make the picture smaller")
    return data


def _check_regular(path: Path) -> None:
    """A pipe or a device would keep the command waiting for ever."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(mode):
        raise InputError(printable(path), "is a folder that cannot be read", "change its permissions")
    if not stat.S_ISREG(mode):
        raise InputError(printable(path), "is not a file", f"name an image file, or pipe one into `{STDIN}`")


def _unreadable(path: Path, error: OSError | ValueError) -> NotFoundError:
    reason = str(getattr(error, "strerror", None) or "unreadable").lower()
    return NotFoundError(printable(path), f"cannot be read ({reason})", "name an image file")
