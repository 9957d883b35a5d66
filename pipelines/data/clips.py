"""A folder with a folder of clips per class, as a source of frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.data.dataset import Progress
from pipelines.data.frames import REMEDY, ClipFrames, ClipReport, Frame, Sampling
from pipelines.data.source import Member, Picture, file_name
from pipelines.data.sources import CLIP_ENDINGS, check_name, files_by_class
from pipelines.data.video.contents import container_of
from registry.digests import sha256_file
from registry.errors import InputError

_AHEAD = 2
"""Frames that wait to be encoded; each is a picture in memory."""


@dataclass(frozen=True)
class ClipSource:
    """Clips by class. A clip's name is `<class>/<file>`. `strict`: a damaged clip is refused, not read as far as it goes.

    `inner`: the paths below their class's folder of clips that lie deeper in it, and are called by them.
    """

    origin: Path
    by_class: Mapping[str, Sequence[Path]]
    sampling: Sampling
    strict: bool = False
    kind: Literal["clips"] = "clips"
    task: Literal["classify"] = "classify"
    format: str = ""
    groups: Literal["known"] = "known"
    inner: Mapping[Path, str] = field(default_factory=dict[Path, str])
    _digests: dict[Path, str] = field(default_factory=dict[Path, str])
    _reports: dict[str, ClipReport] = field(default_factory=dict[str, ClipReport])

    @property
    def labels(self) -> Sequence[str]:
        """The folders' names."""
        return sorted(self.by_class)

    def members(self) -> Sequence[Member]:
        """Every clip."""
        return [self._member(label, clip) for label, clips in self.by_class.items() for clip in clips]

    def pictures(self, progress: Progress) -> Iterator[Picture]:
        """Every kept frame of every clip. Raises InputError for a file that is no video, or gives no frame."""
        total, seen = sum(map(len, self.by_class.values())), 0
        for label, clips in self.by_class.items():
            for clip in clips:
                yield from self._frames(label, clip)
                seen += 1
                progress("clips to frames", seen, total)

    def report(self) -> dict[str, Any]:
        """What each clip is, and what became of its frames; `warnings` are of the clips that are not whole."""
        clips = [
            {"clip": clip, "label": clip.partition("/")[0], **report.model_dump(mode="json")}
            for clip, report in self._reports.items()
        ]
        warnings = [f"{clip}: {report.damage}" for clip, report in self._reports.items() if report.damage]
        return {"clips": clips, "warnings": warnings}

    def _frames(self, label: str, clip: Path) -> Iterator[Picture]:
        """The kept frames of one clip."""
        member, frames = self._member(label, clip), ClipFrames(clip, self.sampling)
        for frame, content in _encoded(frames):
            name = file_name(self._stem(clip), f"-{frame.index:05d}.jpg", member.digest)
            source, seconds = f"frame {frame.index} of {clip}", round(frame.seconds, 3)
            captured = frames.captured(frame.seconds)
            yield Picture(source, name, content, member, label, seconds=seconds, captured=captured)
        if self.strict and frames.report.damage:
            raise InputError(clip, frames.report.damage, f"{REMEDY}, or leave out --strict")
        self._reports[member.clip] = frames.report

    def _member(self, label: str, clip: Path) -> Member:
        if clip not in self._digests:
            self._digests[clip] = sha256_file(clip)
        return Member(f"{label}/{self.inner.get(clip, clip.name)}", self._digests[clip], frozenset({label}))

    def _stem(self, clip: Path) -> str:
        """What its frames are called."""
        return self.inner[clip].removesuffix(clip.suffix).replace("/", "-") if clip in self.inner else clip.stem


def open_clips(folder: Path, sampling: Sampling, classes: int = 2, *, strict: bool = False) -> ClipSource:
    """The clips below a folder, of at least so many classes.

    Raises InputError for anything among them that is no video, before any is decoded, and for what is no file: nothing is
    left out in silence.
    """
    by_class = files_by_class(folder, CLIP_ENDINGS, "clips", classes)
    for label in by_class:
        for entry in sorted((folder / label).iterdir()):
            if not entry.name.startswith(".") and not entry.is_file():
                check_name(entry)
                what = "is a folder within a class" if entry.is_dir() else "is not a file"
                raise InputError(entry, what, f"put its clips into {folder / label} itself, or move it away")
        for clip in by_class[label]:
            container_of(clip)
    return ClipSource(folder, by_class, sampling, strict)


def _encoded(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bytes]]:
    """Frames with their JPEG bytes, which are made by a thread while the next frames are decoded."""
    with ThreadPoolExecutor(1) as encoder:
        waiting = deque[tuple[Frame, Future[bytes]]]()
        for frame in frames:
            waiting.append((frame, encoder.submit(frame.jpeg)))
            if len(waiting) > _AHEAD:
                done, content = waiting.popleft()
                yield done, content.result()
        for done, content in waiting:
            yield done, content.result()
