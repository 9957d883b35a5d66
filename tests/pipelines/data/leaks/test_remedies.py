"""What is said against a leak is what helps in such a data set."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines.data.dataset import FrameRow, Manifest
from pipelines.data.leaks.find import find_leaks
from pipelines.data.leaks.remedy import dealing_again, without_other_scene
from pipelines.data.leaks.report import Kind, Leak, LeakReport
from pipelines.job.jobfile import Split

sys.path.insert(0, str(Path(__file__).parent))
from leaky_sets import Shot, frame, room, write_set


@pytest.mark.parametrize(
    ("source", "groups", "made_from", "command"),
    [
        ("clips", "known", "", "modelyard frames --resplit"),
        ("clips", "known", "clips", "modelyard import DIR --resplit"),
        ("images", "known", "", "modelyard frames --resplit"),
        ("images", "known", "coco", "modelyard import DIR --resplit"),
        ("images", "unknown", "folders", "modelyard import DIR --resplit --group REGEX"),
    ],
)
def test_a_group_is_asked_for_only_where_none_is_known(source: str, groups: str, made_from: str, command: str) -> None:
    manifest = Manifest(labels=["a"], source=source, split=Split(), frames=[], groups=groups, format=made_from)  # type: ignore[arg-type]
    assert dealing_again(manifest) == command


def leak(kind: Kind, file: str) -> Leak:
    return Leak(kind=kind, split_a="train", file_a="t.jpg", split_b="test", file_b=file, value=1, text="the evidence")


@pytest.mark.parametrize(
    ("kind", "fields", "wanted"),
    [
        ("bytes", {}, "; remove the copies"),
        ("scene", {"source": "clips", "again": "X"}, "; film more takes in other places, or deal again with `X`"),
        ("scene", {"source": "clips", "one_scene": "class cup"}, "; film more takes elsewhere: class cup has one scene"),
        ("scene", {"groups": "unknown", "again": "X"}, "; deal again: `X`"),
        ("clip", {"source": "clips", "again": "X"}, "; deal again: `X`"),
    ],
)
def test_each_kind_has_its_remedy(kind: Kind, fields: dict, wanted: str) -> None:
    for count, verb in ((1, "(1 of 9 images) is leaked"), (2, "(2 of 9 images) are leaked")):
        leaks = tuple(leak(kind, f"{index}.jpg") for index in range(count))
        text = LeakReport.model_validate({"dataset": "x", "images": {"test": 9}, "leaks": leaks, **fields}).errors()[0].text
        assert wanted in text
        assert verb in text


def row(label: str, split: str, file: str) -> FrameRow:
    fields = {"sha256": "0", "clip": file, "clip_sha256": "0", "width": 1, "height": 1}
    return FrameRow.model_validate({"label": label, "split": split, "file": file, **fields})


def test_a_class_that_no_dealing_helps_is_named() -> None:
    rows = [row(label, split, f"{label}{split}") for label in "ab" for split in ("train", "val", "test")]
    assert without_other_scene(rows, [leak("scene", "atest")]) == ""
    assert without_other_scene(rows, [leak("scene", "atest"), leak("scene", "aval")]) == "class a"
    assert without_other_scene(rows, [leak("scene", row_of.file) for row_of in rows]) == "every class"
    assert without_other_scene(rows, [leak("bytes", row_of.file) for row_of in rows]) == ""


def test_clips_that_are_all_of_one_scene_ask_for_other_places(tmp_path: Path) -> None:
    splits = ("train", "val", "test")
    shots = [
        Shot(split, label, f"{split}{index}.jpg", frame(room(seed), 1000 * seed + 100 * rank + index), f"{split}-{label}")
        for seed, label in enumerate("ab")
        for rank, split in enumerate(splits)
        for index in range(8)
    ]
    texts = [finding.text for finding in find_leaks(write_set(tmp_path, shots, groups="known", source="clips")).errors()]
    assert any("film more takes elsewhere: every class has one scene" in text for text in texts), texts
