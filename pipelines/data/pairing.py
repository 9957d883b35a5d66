"""Which clips of two data sets are the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.data.dataset import SPLITS, FrameRow, Manifest


@dataclass(frozen=True)
class Clip:
    """A clip, or a group: what the rows of one name have."""

    name: str
    rows: tuple[FrameRow, ...]

    @property
    def digests(self) -> frozenset[str]:
        """The bytes of the clip, or of each image of the group."""
        return frozenset(row.clip_sha256 for row in self.rows)

    @property
    def labels(self) -> tuple[str, ...]:
        """All classes in it."""
        return tuple(sorted({label for row in self.rows for label in row.labels}))

    @property
    def split(self) -> str:
        """Its split; several joined by + where it is in several."""
        return "+".join(split for split in SPLITS if any(row.split == split for row in self.rows))


def clips_of(manifest: Manifest, *, by_image: bool) -> list[Clip]:
    """Clips or groups; each image by itself where it had no group before, or has none now."""
    rows = defaultdict[str, list[FrameRow]](list)
    for row in manifest.frames:
        rows[row.sha256 if by_image else row.clip].append(row)
    return [Clip(name, tuple(mine)) for name, mine in rows.items()]


def paired(olds: Sequence[Clip], news: Sequence[Clip]) -> list[tuple[Clip, Clip]]:
    """Clips that are the same: by name and bytes, else by bytes, else by name, else by the file that they came from."""
    pairs = list[tuple[Clip, Clip]]()
    rest_old, rest_new = {clip.name: clip for clip in olds}, {clip.name: clip for clip in news}

    def pair(old: Clip | None, new: Clip) -> None:
        if old and old.name in rest_old:
            pairs.append((rest_old.pop(old.name), rest_new.pop(new.name)))

    for new in list(rest_new.values()):
        old = rest_old.get(new.name)
        pair(old if old and old.digests & new.digests else None, new)
    by_digest = {digest: clip for clip in rest_old.values() for digest in clip.digests}
    for new in list(rest_new.values()):
        pair(next((by_digest[digest] for digest in sorted(new.digests) if digest in by_digest), None), new)
    for new in list(rest_new.values()):
        pair(rest_old.get(new.name), new)
    by_source = {source: clip for clip in rest_old.values() if (source := _source(clip))}
    for new in list(rest_new.values()):
        pair(by_source.get(_source(new)), new)
    return pairs


def _source(clip: Clip) -> str:
    """The file that a clip of one image came from."""
    return clip.rows[0].source if len(clip.rows) == 1 else ""


def shown(clip: Clip) -> str:
    """What its user knows it by: an image without a group by its file."""
    return _source(clip) or clip.name
