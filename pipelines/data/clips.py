"""A folder with a folder of clips per class, as a source of frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.data.dataset import Progress
from pipelines.data.frames import Sampling, iterate_frames
from pipelines.data.source import Member, Picture, file_name
from registry.digests import sha256_file


@dataclass(frozen=True)
class ClipSource:
    """Clips by class. A clip's name is `<class>/<file>`."""

    origin: Path
    by_class: Mapping[str, Sequence[Path]]
    sampling: Sampling
    kind: Literal["clips"] = "clips"
    task: Literal["classify"] = "classify"
    format: str = ""
    groups: Literal["known"] = "known"
    _digests: dict[Path, str] = field(default_factory=dict[Path, str])
    _kept: Counter[str] = field(default_factory=Counter[str])

    @property
    def labels(self) -> Sequence[str]:
        """The folders' names."""
        return sorted(self.by_class)

    def members(self) -> Sequence[Member]:
        """Every clip."""
        return [self._member(label, clip) for label, clips in self.by_class.items() for clip in clips]

    def pictures(self, progress: Progress) -> Iterator[Picture]:
        """Every kept frame of every clip."""
        total, seen = sum(map(len, self.by_class.values())), 0
        for label, clips in self.by_class.items():
            for clip in clips:
                member = self._member(label, clip)
                for frame in iterate_frames(clip, self.sampling):
                    name = file_name(clip.stem, f"-{frame.index:05d}.jpg", member.digest)
                    self._kept[member.clip] += 1
                    source = f"frame {frame.index} of {clip}"
                    yield Picture(source, name, frame.jpeg(), member, label, seconds=round(frame.seconds, 3))
                seen += 1
                progress("clips to frames", seen, total)

    def report(self) -> dict[str, Any]:
        """How many frames of each clip were kept."""
        return {"clips": [{"clip": clip, "kept": count} for clip, count in self._kept.items()]}

    def _member(self, label: str, clip: Path) -> Member:
        if clip not in self._digests:
            self._digests[clip] = sha256_file(clip)
        return Member(f"{label}/{clip.name}", self._digests[clip], frozenset({label}))
