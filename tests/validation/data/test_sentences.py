"""What a data check says: a sentence about the user's data, for every expectation, passed or failed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from validation.data.sentences import CheckedColumn, describe

from validation.data.suite import check_frames, frame_suite

CLASSES = ["bowl", "cup", "fork"]
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
PASSED = {
    "every frame can be read as a picture",
    "every frame is at least 32 pixels wide",
    "every frame is at least 32 pixels high",
    "every frame is of one of the classes bowl, cup, fork",
    "every class has frames",
    "every frame is in one of the splits train, val, test",
    "no clip appears in more than one split",
    "no picture appears in more than one split",
    "no picture has more than one class",
    "at most 2% of the frames are too dark or too bright (mean brightness below 8 or above 247)",
    "at most 10% of the frames are blurred (sharpness below 4)",
    "every class has at least 3 clips in each split that it occurs in",
    "no two frames are identical",
}
FAILED = {
    "1 frame cannot be read as a picture: bowl-train-0.png",
    "1 frame is less than 32 pixels wide: bowl-train-1.png (8)",
    "1 frame is less than 32 pixels high: bowl-train-1.png (9)",
    "1 frame has class 'knife': bowl-train-2.png; the classes are bowl, cup, fork",
    "class fork has no frames",
    "1 frame has split 'holdout': bowl-val-0.png; the splits are train, val, test",
    "1 clip appears in more than one split, by name or content: bowl/val-1",
    "1 frame has a copy in another split: bowl-val-1.png",
    "1 frame has a copy of another class: bowl-val-1.png",
    "2 frames are too dark or too bright (mean brightness below 8 or above 247), such as bowl-val-2.png (1.5); at most 2% of the 16 may be",
    "2 frames are blurred (sharpness below 4), such as bowl-val-2.png (0.5); at most 10% of the 16 may be",
    "class cup has 1 clip in test; 3 are wanted",
    "2 frames are identical to another frame, such as bowl-test-0.png",
}


def frames(labels: list[str], last_clips: int = 3) -> pd.DataFrame:
    """One frame a clip, three clips a class and split; of the last class and split, so many."""
    rows = []
    for label in labels:
        for split in ("train", "val", "test"):
            clips = last_clips if (label, split) == (labels[-1], "test") else 3
            for number in range(clips):
                name = f"{split}-{number}"
                picture = {"width": 64, "height": 64, "brightness": 100.0, "sharpness": 50.0}
                counts = {"splits_of_clip": 1, "splits_of_frame": 1, "labels_of_frame": 1, "clips_of_class_in_split": clips}
                identity = {"clip": f"{label}/{name}", "label": label, "split": split, "file": f"{label}-{name}.png"}
                rows.append({"sha256": f"{label} {name}", **identity, **picture, **counts})
    return pd.DataFrame(rows).astype(object)


def test_every_check_that_passes_says_so_about_the_data(tmp_path: Path) -> None:
    report = check_frames(frames(CLASSES), CLASSES, tmp_path)
    assert {finding.text for finding in report.passed} == PASSED
    assert len(frame_suite(CLASSES).expectations) == len(PASSED) == len(FAILED)


def test_every_check_that_fails_says_what_is_wrong_with_the_data(tmp_path: Path) -> None:
    table = frames(["bowl", "cup"], last_clips=1)
    table.loc[0, ["width", "height", "brightness", "sharpness"]] = None
    table.loc[1, ["width", "height"]] = [8, 9]
    table.loc[2, "label"] = "knife"
    table.loc[3, "split"] = "holdout"
    table.loc[4, ["splits_of_clip", "splits_of_frame", "labels_of_frame"]] = 2
    table.loc[5, ["brightness", "sharpness"]] = [1.5, 0.5]
    table.loc[6, ["brightness", "sharpness"]] = [250.0, 1.0]
    table.loc[6, "sha256"] = table.loc[15, "sha256"]
    report = check_frames(table, CLASSES, tmp_path)
    assert {finding.text for finding in report.errors + report.warnings} == FAILED
    assert report.passed == []


@pytest.mark.parametrize(
    ("kind", "column", "limits", "values", "sentence"),
    [
        (BETWEEN, "width", {"min_value": 32.0}, [8, 9, 64], "2 frames are less than 32 pixels wide, such as 0.png (8)"),
        (BETWEEN, "clips_of_class_in_split", {"min_value": 3.0}, [1, 2, 2], "class cup has 1 clip in test, class cup has 2 clips in val; 3 are wanted"),
        (BETWEEN, "splits_of_clip", {"max_value": 1.0}, [2, 2, 1], "2 clips appear in more than one split, by name or content: c0, c1"),
        (IN_SET, "label", {"value_set": list("abcdefg")}, ["x", "y", "a"], "2 frames have class 'x', 'y', such as 0.png; the classes are a, b, c, d, e and 2 more"),
        ("expect_column_distinct_values_to_equal_set", "label", {"value_set": ["a", "b", "c"]}, ["a", "a", "a"], "classes b, c have no frames"),
        ("expect_column_distinct_values_to_equal_set", "label", {"value_set": ["a"]}, ["a", "a", "b"], "1 frame has class 'b': 2.png; the classes are a"),
        ("expect_column_values_to_not_be_null", "width", {}, [None, None, 1], "2 frames cannot be read as pictures, such as 0.png"),
        (BETWEEN, "height", {"min_value": 32.0}, [64, 64, 64], "the check of height did not complete: see the report"),
    ],
)  # fmt: skip
def test_several_are_counted_and_the_first_is_named(kind: str, column: str, limits: dict, values: list, sentence: str) -> None:
    table = pd.DataFrame({"file": ["0.png", "1.png", "2.png"], "clip": ["c0", "c1", "c2"], "split": ["test", "val", "val"]})
    table = table.assign(label="cup").assign(**{column: values})
    assert describe(CheckedColumn(kind, column, limits, table), passed=False) == sentence
