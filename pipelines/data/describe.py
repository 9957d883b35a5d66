"""What a model's card says of its data set."""

from __future__ import annotations

from collections import Counter

from pipelines.data.dataset import SPLITS, DataSet

_MOST = 50
"""Classes that a card lists; of more it says how many there are."""


def describe_data(data: DataSet) -> str:
    """A data set's name, size, classes and splits, as Markdown."""
    manifest, labels = data.manifest, data.manifest.labels
    group, groups = ("clip", "clips") if manifest.source == "clips" else ("group", "groups")
    images = Counter((row.label, row.split) for row in manifest.frames)
    whole = Counter(row.split for row in manifest.frames)
    members = {split: len({row.clip for row in data.rows(split)}) for split in SPLITS}
    size = f"{len(manifest.frames)} images of {sum(members.values())} {groups} in {len(labels)} classes"
    lines = [
        f"`{data.name}`: {size}. The images of one {group} are all in one split.",
        "",
        f"| class | {' | '.join(SPLITS)} |",
        "|---|" + "---|" * len(SPLITS),
        *(f"| {label} | {' | '.join(str(images[label, split]) for split in SPLITS)} |" for label in labels[:_MOST]),
        *([f"| {len(labels) - _MOST} more |{' |' * len(SPLITS)}"] if len(labels) > _MOST else []),
        f"| all images | {' | '.join(str(whole[split]) for split in SPLITS)} |",
        f"| {groups} | {' | '.join(str(members[split]) for split in SPLITS)} |",
    ]
    return "\n".join(lines)
