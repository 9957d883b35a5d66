"""What every trainer asks of a data set before it begins. No framework is imported here."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.data.dataset import SPLITS, DataSet
from registry.errors import InputError

_SHOWN = 5


def check_fit(task: str, data: DataSet, say: Callable[[str], None]) -> None:
    """Refuse a data set that a job of this task cannot be trained on, before anything is paid for."""
    if data.manifest.task != task:
        why = f"is a data set to {data.manifest.task} with, the job's task is {task}"
        raise InputError(data.name, why, "fix `task:` in the job file, or give another data set")
    for split in ("train", "val"):  # the best epoch is chosen on val
        data.held(split)
    if task == "detect":
        check_boxes(data, say)
    else:
        check_classes(data)


def check_classes(data: DataSet) -> None:
    """Refuse a class that has no training image: nothing can be learnt of it, however often val and test ask."""
    known = {row.label for row in data.rows("train")}
    if missing := [label for label in data.manifest.labels if label not in known]:
        more = f" and {len(missing) - 1} more classes" if len(missing) > 1 else ""
        raise InputError(data.name, f"has no training image of '{missing[0]}'{more}", "add clips of it, or leave the class out")


def check_boxes(data: DataSet, say: Callable[[str], None]) -> None:
    """The same of a detector: refuse a data set without boxes to learn from, and a class that only val or test has.

    A class of the annotation files that no picture has is said, as is a val split without boxes: neither stops anything.
    """
    if data.manifest.task != "detect":
        raise InputError(data.name, "is a classifier's data set, which has no boxes", "give one whose task is detect")
    there = {split: _kinds(data, split) for split in SPLITS}
    if not there["train"]:
        raise InputError(data.name, "its train split has no box", "label some of its images")
    for split in SPLITS:
        if missing := [label for label in data.manifest.labels if label in there[split] - there["train"]]:
            more = f" and {len(missing) - 1} more classes" if len(missing) > 1 else ""
            what = f"has boxes of '{missing[0]}'{more} in {split} and none in train"
            raise InputError(data.name, what, "label some in train, deal the splits again, or leave the class out")
    if unused := [label for label in data.manifest.labels if label not in there["train"]]:
        more = f" and {len(unused) - _SHOWN} more" if len(unused) > _SHOWN else ""
        say(f"no picture has a box of {', '.join(unused[:_SHOWN])}{more}: the detector will never find any")
    if not there["val"]:
        say("val has no box, so nothing says which epoch is best: the last is kept")


def _kinds(data: DataSet, split: str) -> set[str]:
    """The classes that have a box in a split: one with an area within its picture."""
    return {
        box.label
        for row in data.rows(split)
        for box in row.boxes or ()
        if min(box.right, 1) > max(box.left, 0) and min(box.bottom, 1) > max(box.top, 0)
    }
