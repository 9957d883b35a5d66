"""What changed from one version of a data set to another: clips, frames, splits, boxes and the balance of classes.

A clip is the same if its bytes are, whatever it is called; one with a known name and other bytes was changed. Images without
groups count as clips of one frame, groups of images as clips.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pipelines.data.dataset import SPLITS, Box, FrameRow, Manifest, SplitName
from pipelines.data.pairing import Clip, clips_of, paired, shown
from registry.records import Record

_ROUNDED = 6
"""Digits by which two boxes are the same."""


class ClipChange(Record):
    """One clip (or image, or group) of both data sets, or of one of them: then the other side's fields are empty."""

    clip: str
    was: str = ""
    labels: tuple[str, ...] = ()
    labels_before: tuple[str, ...] = ()
    split: str = ""
    split_before: str = ""
    frames: int = 0
    frames_before: int = 0


class Balance(Record):
    """How much a class has in a split, before and after."""

    label: str
    split: SplitName
    clips_before: int
    clips: int
    frames_before: int
    frames: int


class Setting(Record):
    """Something by which the frames were taken or dealt that is other now."""

    name: str
    before: str
    after: str


class BoxCount(Record):
    """How the boxes of a class changed, over all images."""

    label: str
    added: int = 0
    removed: int = 0
    changed: int = 0


class FrameLabels(Record):
    """How many frames with the same bytes were of one class and are of another."""

    before: str
    after: str
    frames: int


class DataDiff(Record):
    """Everything that is other in `after`. A clip can be in several of the lists."""

    before: str
    after: str
    unit: Literal["clip", "image", "group"]
    added: list[ClipChange]
    removed: list[ClipChange]
    renamed: list[ClipChange]
    relabelled: list[ClipChange]
    moved: list[ClipChange]
    changed: list[ClipChange]
    frames: dict[str, int]
    """added, removed, changed (other bytes under the same name), relabelled, moved, kept (the same bytes)"""
    test_images: tuple[int, int, int]
    """Different images of test before, after, and with the same bytes and classes in both."""
    test_clips: tuple[int, int, int]
    """Clips of test before, after, and with the same bytes in both."""
    classes_added: list[str]
    classes_removed: list[str]
    balance: list[Balance]
    settings: list[Setting]
    boxes: list[BoxCount]
    frame_labels: list[FrameLabels]

    @property
    def same_frames(self) -> bool:
        """Whether every frame is in both, with its clip, class, split and boxes."""
        lists = (self.added, self.removed, self.renamed, self.relabelled, self.moved, self.changed, self.boxes)
        return not any(lists) and not any(count for name, count in self.frames.items() if name != "kept")


def compare(before: Manifest, after: Manifest, names: tuple[str, str], settings: Iterable[Setting] = ()) -> DataDiff:
    """Everything that is other in `after`. `settings` are those that no manifest has, such as frames a second."""
    regrouped = before.groups != after.groups
    olds, news = clips_of(before, by_image=regrouped), clips_of(after, by_image=regrouped)
    pairs = paired(olds, news)
    known = {new.name for _, new in pairs}, {old.name for old, _ in pairs}
    changes = [(_change(old, new), old, new) for old, new in pairs]
    renamed = [change for change, old, new in changes if old.labels == new.labels and old.digests & new.digests]
    single = all(len(clip.rows) == 1 for clip in (*olds, *news))
    return DataDiff(
        before=names[0],
        after=names[1],
        unit="clip" if after.source == "clips" else "image" if single else "group",
        added=[_change(None, clip) for clip in news if clip.name not in known[0]],
        removed=[_change(clip, None) for clip in olds if clip.name not in known[1]],
        renamed=[change for change in renamed if change.was],
        relabelled=[change for change, old, new in changes if old.labels != new.labels],
        moved=[change for change, old, new in changes if old.split != new.split],
        changed=[change for change, old, new in changes if old.digests != new.digests],
        frames=_frames(before, after, pairs),
        test_images=_test_images(before, after),
        test_clips=_test_clips(before, after),
        classes_added=[label for label in after.labels if label not in before.labels],
        classes_removed=[label for label in before.labels if label not in after.labels],
        balance=_balance(before, after),
        settings=[*_settings(before, after), *settings],
        boxes=_boxes(before, after),
        frame_labels=_frame_labels(_by_digest(before), _by_digest(after)),
    )


def common_images(before: Manifest, after: Manifest, split: SplitName = "test") -> list[tuple[FrameRow, FrameRow]]:
    """The images of a split that both have with the same bytes and the same class, each once."""
    theirs, ours = _images(before, split), _images(after, split)
    return [(row, ours[key]) for key, row in theirs.items() if key in ours]


def _images(manifest: Manifest, split: SplitName) -> dict[tuple[object, ...], FrameRow]:
    """The first row of each different image: its bytes, its class and its boxes."""
    return {(row.sha256, row.label, _rounded(row)): row for row in reversed(manifest.frames) if row.split == split}


def _test_images(before: Manifest, after: Manifest) -> tuple[int, int, int]:
    old, new = _images(before, "test"), _images(after, "test")
    return len(old), len(new), len(old.keys() & new.keys())


def _test_clips(before: Manifest, after: Manifest) -> tuple[int, int, int]:
    old, new = ({row.clip_sha256 for row in side.frames if row.split == "test"} for side in (before, after))
    return len(old), len(new), len(old & new)


def _change(old: Clip | None, new: Clip | None) -> ClipChange:
    this = new or old
    assert this is not None  # noqa: S101 one of the sides is there
    before = {"labels_before": old.labels, "split_before": old.split, "frames_before": len(old.rows)} if old else {}
    after = {"labels": new.labels, "split": new.split, "frames": len(new.rows)} if new else {}
    was = shown(old) if old and new and shown(old) != shown(new) else ""
    return ClipChange.model_validate({"clip": shown(this), "was": was} | before | after)


def _frames(before: Manifest, after: Manifest, pairs: Sequence[tuple[Clip, Clip]]) -> dict[str, int]:
    """How many frames were added, removed, changed, relabelled, moved and kept."""
    old, new = _by_digest(before), _by_digest(after)
    kept = sum(min(len(rows), len(new.get(digest, ()))) for digest, rows in old.items())
    both = [(rows, new[digest]) for digest, rows in old.items() if digest in new]
    changed = sum(_changed_frames(mine, yours, old, new) for mine, yours in pairs)
    return {
        "added": len(after.frames) - kept - changed,
        "removed": len(before.frames) - kept - changed,
        "changed": changed,
        "relabelled": sum(_other([row.label for row in a], [row.label for row in b]) for a, b in both),
        "moved": sum(_other([row.split for row in a], [row.split for row in b]) for a, b in both),
        "kept": kept,
    }


def _frame_labels(old: Mapping[str, Sequence[FrameRow]], new: Mapping[str, Sequence[FrameRow]]) -> list[FrameLabels]:
    """Which class became which, of the frames that both have, the most frequent first."""
    kinds = Counter[tuple[str, str]]()
    for digest, rows in old.items():
        was, now = (Counter(row.label for row in mine) for mine in (rows, new.get(digest, ())))
        kinds.update(zip(sorted((was - now).elements()), sorted((now - was).elements()), strict=False))
    return [FrameLabels(before=was, after=now, frames=number) for (was, now), number in kinds.most_common()]


def _changed_frames(
    mine: Clip, yours: Clip, old: Mapping[str, Sequence[FrameRow]], new: Mapping[str, Sequence[FrameRow]]
) -> int:
    """Frames of a pair of clips that have a name in common, and whose bytes are in one of the data sets only."""
    gone = {_key(row) for row in mine.rows if row.sha256 not in new}
    fresh = {_key(row) for row in yours.rows if row.sha256 not in old}
    return len(gone & fresh)


def _key(row: FrameRow) -> str:
    return row.source or row.file.rpartition("/")[2]


def _by_digest(manifest: Manifest) -> dict[str, list[FrameRow]]:
    rows = defaultdict[str, list[FrameRow]](list)
    for row in manifest.frames:
        rows[row.sha256].append(row)
    return rows


def _other(before: Sequence[str], after: Sequence[str]) -> int:
    """How many of the same frame's copies, of those that both have, are other."""
    return min(len(before), len(after)) - sum((Counter(before) & Counter(after)).values())


def _balance(before: Manifest, after: Manifest) -> list[Balance]:
    labels = [*after.labels, *(label for label in before.labels if label not in after.labels)]
    old, new = _counts(before), _counts(after)
    return [
        Balance(
            label=label,
            split=split,
            clips_before=len(set(old[label, split])),
            clips=len(set(new[label, split])),
            frames_before=len(old[label, split]),
            frames=len(new[label, split]),
        )
        for label in labels
        for split in SPLITS
    ]


def _counts(manifest: Manifest) -> defaultdict[tuple[str, SplitName], list[str]]:
    """Class and split → the clip of each of its frames."""
    clips = defaultdict[tuple[str, SplitName], list[str]](list)
    for row in manifest.frames:
        for label in row.labels:
            clips[label, row.split].append(row.clip)
    return clips


def _settings(before: Manifest, after: Manifest) -> list[Setting]:
    """What the manifests say of how it was made."""
    names = {"source": "source", "format": "format", "task": "task", "groups": "groups", "split_from": "split from"}
    pairs = [(text, str(getattr(before, name)), str(getattr(after, name))) for name, text in names.items()]
    old, new = before.split.model_dump(), after.split.model_dump()
    pairs += [(f"split {name}", str(old.get(name, "")), str(value)) for name, value in new.items()]
    return [Setting(name=name, before=was, after=now) for name, was, now in pairs if was != now]


def _boxes(before: Manifest, after: Manifest) -> list[BoxCount]:
    """Boxes of the same picture are the same by class and place; of what is left over as many as can be were changed."""
    old, new = _by_digest(before), _by_digest(after)
    totals = defaultdict[str, Counter[str]](Counter)
    for digest in {*old, *new}:
        was, now = (Counter(_rounded(rows[digest][0])) if digest in rows else Counter() for rows in (old, new))
        gone, fresh = (Counter(label for label, *_ in left.elements()) for left in (was - now, now - was))
        for label in {*gone, *fresh}:
            changed = min(gone[label], fresh[label])
            totals[label] += Counter(added=fresh[label] - changed, removed=gone[label] - changed, changed=changed)
    return [BoxCount(label=label, **counts) for label, counts in sorted(totals.items())]


def _rounded(row: FrameRow) -> tuple[tuple[str, float, float, float, float], ...]:
    return tuple(sorted(_rounded_box(box) for box in row.boxes or ()))


def _rounded_box(box: Box) -> tuple[str, float, float, float, float]:
    left, top, right, bottom = (round(side, _ROUNDED) for side in (box.left, box.top, box.right, box.bottom))
    return box.label, left, top, right, bottom
