"""A data set that passes every check, as a table, and how each check is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from validation.data.table import CheckedBox, CheckedData

CLASSES = ["bowl", "cup", "fork"]
PICTURES = 6
"""Pictures of a clip; three clips a class and split."""
BOX = CheckedBox("bowl", 0.2, 0.2, 0.6, 0.6)


def sound_data(task: str = "classify") -> CheckedData:
    """Three clips of each class in each split, pictures that differ a little."""
    rng, rows = np.random.default_rng(0), []
    for label in CLASSES:
        for split in ("train", "val", "test"):
            for clip in range(3):
                for number in range(PICTURES):
                    name = f"{label}/{split}-{clip}"
                    identity = {"file": f"{name}-{number}.jpg", "sha256": f"{name} {number}", "clip": name, "clip_sha256": name}
                    looks = dict(zip(("brightness", "contrast", "saturation"), rng.normal((120, 50, 60), 8), strict=True))
                    looks |= {"dark": 220.0, "bright": 20.0, "sharpness": float(rng.uniform(0.05, 0.3))}
                    looks |= {"redness": float(rng.normal(5, 2)), "blueness": float(rng.normal(-5, 2))}
                    rows.append(identity | {"label": label, "split": split, "width": 640, "height": 480} | looks)
    frames = pd.DataFrame(rows)
    if task == "classify":
        return CheckedData(CLASSES, frames)
    boxes = [{"frame": index, **BOX._asdict(), "label": row["label"]} for index, row in frames.iterrows()]
    return CheckedData(CLASSES, frames.assign(label=""), boxes=pd.DataFrame(boxes), task="detect")


def with_frames(data: CheckedData, rows: object, **values: object) -> CheckedData:
    """The same with other values in some rows."""
    frames = data.frames.copy()
    for name, value in values.items():
        frames[name] = frames[name].astype(object)
        frames.loc[rows, name] = value
    return replace(data, frames=frames)


def with_box(data: CheckedData, frame: int, box: CheckedBox) -> CheckedData:
    """The same with one box more."""
    boxes = pd.concat([data.boxes, pd.DataFrame([{"frame": frame, **box._asdict()}])], ignore_index=True)
    return replace(data, boxes=boxes)


def _few_clips(data: CheckedData) -> CheckedData:
    gone = (data.frames["label"] == "cup") & (data.frames["split"] == "test") & (data.frames["clip"] != "cup/test-0")
    return replace(data, frames=data.frames[~gone].reset_index(drop=True), shares={"val": 0.2, "test": 0.2})


def _imbalanced(data: CheckedData) -> CheckedData:
    gone = (data.frames["label"] == "cup") & (data.frames["split"] == "train") & (~data.frames["file"].str.endswith("-0.jpg"))
    frames = pd.concat([data.frames[~gone], data.frames[data.frames["label"] == "fork"]], ignore_index=True)
    return replace(data, frames=frames.assign(sha256=[str(index) for index in range(len(frames))]))


def _small_test(data: CheckedData) -> CheckedData:
    keep = (data.frames["split"] != "test") | data.frames["file"].str.endswith("-0.jpg")
    return replace(data, frames=data.frames[keep].reset_index(drop=True))


def _tiny(data: CheckedData) -> CheckedData:
    boxes = data.boxes.copy()
    boxes.loc[:40, ["right", "bottom"]] = 0.205
    return replace(data, boxes=boxes)


def _of_split(data: CheckedData, split: str) -> pd.Series:
    return data.frames["split"] == split


Break = tuple[str, Callable[[CheckedData], CheckedData], str]
BROKEN: dict[str, Break] = {
    "readable": (
        "classify",
        lambda data: with_frames(data, [0], brightness=None, sharpness=None, dark=None, bright=None, contrast=None),
        "1 picture cannot be read: bowl/train-0-0.jpg: replace them or leave them out, and make the data set again",
    ),
    "size": (
        "classify",
        lambda data: with_frames(data, [1, 2], width=8),
        "2 pictures are smaller than 32 pixels, such as bowl/train-0-1.jpg (8 x 480): leave them out, or take them from larger originals",
    ),
    "class-known": (
        "classify",
        lambda data: with_frames(data, [0], label="knife"),
        "1 picture has the label 'knife': bowl/train-0-0.jpg; the classes are bowl, cup, fork: correct the labels and make the data set again",
    ),
    "class-empty": (
        "classify",
        lambda data: replace(data, labels=[*CLASSES, "spoon"]),
        "class spoon has no pictures: film or add some, or remove the class",
    ),
    "split-known": (
        "classify",
        lambda data: with_frames(data, [0], split="holdout"),
        "1 picture is in split 'holdout': bowl/train-0-0.jpg; the splits are train, val, test: make the data set again",
    ),
    "clip-leak": (
        "classify",
        lambda data: with_frames(data, data.frames["clip"] == "bowl/val-0", clip_sha256="bowl/train-0"),
        "2 clips are in more than one split, by name or by content: bowl/train-0, bowl/val-0: keep each in one split, or remove the copy, then make the data set again",
    ),
    "copies-across-splits": (
        "classify",
        lambda data: with_frames(data, data.frames["file"] == "bowl/val-0-0.jpg", sha256="bowl/train-0 0"),
        "2 pictures have a copy in another split, such as bowl/train-0-0.jpg: remove the copies, since a test with them asks for what was learned by heart",
    ),
    "label-conflict": (
        "classify",
        lambda data: with_frames(data, data.frames["file"] == "cup/train-0-0.jpg", sha256="bowl/train-0 0"),
        "2 pictures have a copy with another label, such as bowl/train-0-0.jpg (bowl, cup): decide which label is right and remove the other copy",
    ),
    "duplicates": (
        "classify",
        lambda data: with_frames(data, [1], sha256="bowl/train-0 0"),
        "2 pictures are there more than once, such as bowl/train-0-0.jpg: remove the copies, since each counts again in training and in scores",
    ),
    "too-dark": (
        "classify",
        lambda data: with_frames(data, list(range(6)), dark=30.0),
        "6 pictures are too dark (99% of it below grey level 64), such as bowl/train-0-0.jpg; 6 of 6 frames of clip bowl/train-0 are; at most 2% of the 162 may be: film again with more light, or leave them out",
    ),
    "over-exposed": (
        "classify",
        lambda data: with_frames(data, list(range(0, 60, 10)), bright=230.0),
        "6 pictures are washed out (95% of it above grey level 200), such as bowl/train-0-0.jpg; at most 2% of the 162 may be: film again with less light, or leave them out",
    ),
    "single-colour": (
        "classify",
        lambda data: with_frames(data, [0], contrast=0.0),
        "1 picture is of a single colour: bowl/train-0-0.jpg: leave them out, or look whether the camera was covered",
    ),
    "blur": (
        "classify",
        lambda data: with_frames(data, list(range(4)), sharpness=0.004),
        "4 of 6 frames of clip bowl/train-0 are blurred (sharpness below 0.02): film again with more light or a still hand, or leave them out",
    ),
    "clips-per-split": (
        "classify",
        _few_clips,
        "class cup has 1 clip in test; 3 are wanted: film 6 more of cup (13 in all, of which test takes 0.2)",
    ),
    "test-size": (
        "classify",
        _small_test,
        "test has 9 pictures; 30 are wanted, or one picture more or less moves its score by 11 points: film more, or give test a larger share",
    ),
    "class-imbalance": (
        "classify",
        _imbalanced,
        "class cup has 3 pictures in train, class fork 36 (12.0 times as many; at most 4): film more of cup, or keep fewer of fork",
    ),
    "val-far-from-train": (
        "classify",
        lambda data: with_frames(data, _of_split(data, "val"), brightness=30.0),
        "100% of the pictures in val are darker than train's (median brightness 30, in train 118; at most 80% may be): film some such pictures for train, or deal the splits again",
    ),
    "mixed-sizes": (
        "classify",
        lambda data: with_frames(data, list(range(0, 162, 4)), width=270, height=480),
        "pictures are very different: the ratio of width to height by 2.4 (at most 2); bowl/train-0-0.jpg is 270 x 480, fork/test-2-5.jpg is 640 x 480: crop or scale them alike",
    ),
    "class-names": (
        "classify",
        lambda data: replace(data, labels=["bowl", "cup", "fork", "=fork"], frames=pd.concat([data.frames, data.frames[data.frames["label"] == "fork"].assign(label="=fork")], ignore_index=True)),
        "class '=fork' begins with a character that a spreadsheet takes for a formula: rename the class before it is trained, since its name goes with every version",
    ),
    "groups-unknown": (
        "classify",
        lambda data: replace(data, groups_known=False, source="images"),
        "nothing says which of the 162 pictures belong together, so those of one person, room or minute may be in train and in test: name the groups with `--group`, or sort the pictures into one clip or folder each",
    ),
    "boxes-outside": (
        "detect",
        lambda data: with_box(data, 0, CheckedBox("cup", 0.1, 0.2, 1.2, 0.5)),
        "1 box lies outside of the picture, such as cup in bowl/train-0-0.jpg (left 0.1, top 0.2, right 1.2, bottom 0.5): correct the annotation",
    ),
    "boxes-zero-area": (
        "detect",
        lambda data: with_box(data, 0, CheckedBox("cup", 0.1, 0.2, 0.1, 0.5)),
        "1 box has no area, such as cup in bowl/train-0-0.jpg (left 0.1, top 0.2, right 0.1, bottom 0.5): correct or remove the annotation",
    ),
    "tiny-objects": (
        "detect",
        _tiny,
        "41 of 162 boxes are tiny (below 8 pixels at 640, or below 0.1% of the picture; at most 10% may be), such as bowl in bowl/train-0-0.jpg (left 0.2, top 0.2, right 0.205, bottom 0.205): film nearer, cut the pictures into parts, or train at a larger size",
    ),
    "duplicate-boxes": (
        "detect",
        lambda data: with_box(data, 0, BOX._replace(right=0.61)),
        "1 box covers the same object as another, such as bowl in bowl/train-0-0.jpg (left 0.2, top 0.2, right 0.61, bottom 0.6): keep one box an object",
    ),
    "without-boxes": (
        "detect",
        lambda data: replace(data, boxes=data.boxes[data.boxes["frame"] % 3 == 0].reset_index(drop=True)),
        "108 pictures have no boxes, such as bowl/train-0-1.jpg (67%; at most 50% may have none): label what is in them, or leave some out",
    ),
}  # fmt: skip
