"""A difference between two data sets, said in sentences about the clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from pipelines.data.difference import ClipChange, DataDiff

_LISTED = 4
_KINDS = 8


def sentences(diff: DataDiff) -> list[str]:
    """What changed, the most important first; never empty."""
    if diff.same_frames:
        both = f"{diff.before} and {diff.after}" if diff.before != diff.after else f"{diff.before} and itself"
        lines = [f"{both} have the same {diff.unit}s, frames and splits"]
        return [*lines, *_settings(diff)]
    lines = [f"class '{label}' is new" for label in diff.classes_added]
    lines += [f"class '{label}' is gone" for label in diff.classes_removed]
    lines += _added(diff) + _removed(diff)
    lines += _relabelled(diff)
    lines += _listed(diff, diff.moved, "moved between splits", _move) or [f"no {diff.unit} moved between splits"]
    lines += _listed(diff, diff.renamed, "renamed", lambda change: f"{change.was} is {change.clip}")
    lines += _listed(diff, diff.changed, _CHANGED[diff.unit], lambda change: change.clip)
    return [*lines, _test(diff), _frames(diff), *_boxes(diff), *_settings(diff)]


def summary(diff: DataDiff) -> str:
    """The same in one line: "3 clips added, none moved"."""
    parts = [
        f"{count(len(changes), diff.unit)} {verb}"
        for verb, changes in (
            ("added", diff.added), ("removed", diff.removed), ("relabelled", diff.relabelled), ("renamed", diff.renamed),
            ("changed", diff.changed),
        )
        if changes
    ]  # fmt: skip
    parts += [] if parts else [f"the same {diff.unit}s"]
    return ", ".join([*parts, f"{len(diff.moved) or 'none'} moved"])


def count(number: int, unit: str) -> str:
    """A number of things: "1 clip", "2 clips"."""
    return f"{number} {unit}{'' if number == 1 else 's'}"


_CHANGED = {"clip": "with the same name and other bytes", "image": "changed", "group": "with other images than before"}


def _added(diff: DataDiff) -> list[str]:
    counts = Counter((change.labels, change.split) for change in diff.added)
    return [f"{count(number, diff.unit)} of {_names(labels)} added to {split}" for (labels, split), number in counts.items()]


def _removed(diff: DataDiff) -> list[str]:
    counts = Counter((change.labels_before, change.split_before) for change in diff.removed)
    return [
        f"{count(number, diff.unit)} of {_names(labels)} removed from {split}" for (labels, split), number in counts.items()
    ]


def _listed(diff: DataDiff, changes: Sequence[ClipChange], verb: str, text: Callable[[ClipChange], str]) -> list[str]:
    if not changes:
        return []
    more = f" and {len(changes) - _LISTED} more" if len(changes) > _LISTED else ""
    return [f"{count(len(changes), diff.unit)} {verb}: {', '.join(map(text, changes[:_LISTED]))}{more}"]


def _relabelled(diff: DataDiff) -> list[str]:
    """Whole clips by name; of images and single frames, as a review relabels them, which class became which."""
    if diff.unit == "image":
        kinds = Counter((_short(change.labels_before), _short(change.labels)) for change in diff.relabelled)
        return [_kinds("image", kinds)] if kinds else []
    whole = [change for change in diff.relabelled if len(change.labels) == len(change.labels_before) == 1]
    if diff.frame_labels and (diff.unit == "group" or len(whole) < len(diff.relabelled)):
        word = "image" if diff.unit == "group" else "frame"
        return [_kinds(word, Counter({(kind.before, kind.after): kind.frames for kind in diff.frame_labels}))]
    return _listed(diff, diff.relabelled, "relabelled", _relabelling)


def _kinds(word: str, kinds: Counter[tuple[str, str]]) -> str:
    """How many, and which class became which: "2 images relabelled: 8→3, 0→7"."""
    steps = [f"{old}→{new}{f' ({number})' if number > 1 else ''}" for (old, new), number in kinds.most_common()]
    more = f" and {len(steps) - _KINDS} more" if len(steps) > _KINDS else ""
    return f"{count(kinds.total(), word)} relabelled: {', '.join(steps[:_KINDS])}{more}"


def _short(labels: Sequence[str]) -> str:
    return "+".join(labels) or "no class"


def _relabelling(change: ClipChange) -> str:
    return f"{change.clip} from {_names(change.labels_before)} to {_names(change.labels)}"


def _move(change: ClipChange) -> str:
    return f"{change.clip} from {change.split_before} to {change.split}"


def _names(labels: Iterable[str]) -> str:
    return " and ".join(f"'{label}'" for label in labels) or "no class"


def _test(diff: DataDiff) -> str:
    """Whether scores on test can be compared."""
    before, after, common = diff.test_images
    clips_before, clips, same_clips = diff.test_clips
    if before == after == common:
        return f"test is the same {count(clips, 'clip') if diff.unit == 'clip' else count(after, 'image')}"
    images = f"{count(before, 'image')} before, {after} now, {common} in common"
    if diff.unit == "clip" and clips_before == clips == same_clips:
        return f"test is of the same {count(clips, 'clip')}, but not the same frames: {images}"
    return f"test is another: {images}"


def _frames(diff: DataDiff) -> str:
    word = "frame" if diff.unit == "clip" else "image"
    counts = [f"{number} {name}" for name, number in diff.frames.items() if number and name != "kept"]
    return f"{count(diff.frames['kept'], word)} with the same bytes; {', '.join(counts) or 'none other'}"


def _boxes(diff: DataDiff) -> list[str]:
    return [
        f"boxes of '{boxes.label}': {boxes.added} added, {boxes.removed} removed, {boxes.changed} changed"
        for boxes in diff.boxes
    ]


def _settings(diff: DataDiff) -> list[str]:
    return [f"{setting.name} was {setting.before or 'not set'}, is {setting.after or 'not set'}" for setting in diff.settings]
