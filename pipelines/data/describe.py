"""What a model's card says of its data set."""

from __future__ import annotations

from collections import Counter

from pipelines.data.dataset import SPLITS, DataSet, SplitName

_MOST = 50
"""Classes that a card lists; of more it says how many there are."""


def describe_data(data: DataSet) -> str:
    """A data set's name, size, classes and splits, as Markdown."""
    manifest, labels = data.manifest, data.manifest.labels
    group, groups = ("clip", "clips") if manifest.source == "clips" else ("group", "groups")
    images = Counter((label, row.split) for row in manifest.frames for label in row.labels)
    whole = Counter(row.split for row in manifest.frames)
    members = {split: len({row.clip for row in data.rows(split)}) for split in SPLITS}
    boxes = Counter[SplitName](row.split for row in manifest.frames for _ in row.boxes or ())
    empty = Counter[SplitName](row.split for row in manifest.frames if row.boxes == ())
    size = f"{len(manifest.frames)} images of {sum(members.values())} {groups} in {len(labels)} classes"
    lines = [
        f"`{data.name}`: {size}. {_how_split(data, group)}",
        "",
        f"| class | {' | '.join(SPLITS)} |",
        "|---|" + "---|" * len(SPLITS),
        *(f"| {label} | {' | '.join(str(images[label, split]) for split in SPLITS)} |" for label in labels[:_MOST]),
        *([f"| {len(labels) - _MOST} more |{' |' * len(SPLITS)}"] if len(labels) > _MOST else []),
        f"| all images | {' | '.join(str(whole[split]) for split in SPLITS)} |",
        f"| {groups} | {' | '.join(str(members[split]) for split in SPLITS)} |",
        *([_line("boxes", boxes), _line("images without a box", empty)] if manifest.task == "detect" else []),
    ]
    return "\n".join(lines)


def _line(name: str, counts: Counter[SplitName]) -> str:
    return f"| {name} | {' | '.join(str(counts[split]) for split in SPLITS)} |"


def _how_split(data: DataSet, group: str) -> str:
    """What is known of the split; of one that was there already, whether anything leaks is for the checks to say."""
    if data.manifest.split_from == "source":
        return f"The split is that of its source ({data.manifest.format})."
    return f"The images of one {group} are all in one split."
