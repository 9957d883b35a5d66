"""What two versions of a data set differ in, counted and in sentences."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from drawn_source import DrawnSource

from pipelines.data.build import Dealing, write_dataset
from pipelines.data.dataset import Box, FrameRow, Manifest
from pipelines.data.difference import DataDiff, Setting, compare
from pipelines.data.sentences import sentences, summary
from pipelines.job.jobfile import Split

NAMES = ("hand@1", "hand@2")


def row(path: str, number: int, split: str = "train", frame: int = 0, **fields) -> FrameRow:
    label, name = path.split("/")
    known = {"file": f"{split}/{label}/{name}-{frame}.jpg", "sha256": f"frame {number} {frame}", "clip": path}
    known |= {"clip_sha256": f"clip {number}", "label": label, "split": split, "width": 1, "height": 1}
    return FrameRow.model_validate(known | fields)


def data_set(rows: Iterable[FrameRow], **fields) -> Manifest:
    rows = list(rows)
    labels = sorted({label for row in rows for label in row.labels})
    return Manifest.model_validate({"labels": labels, "source": "clips", "split": Split(), "frames": rows} | fields)


def clips(numbers: Mapping[str, tuple[int, str]]) -> Manifest:
    """Clip → its bytes and its split; two frames each."""
    return data_set(row(clip, number, split, frame) for clip, (number, split) in numbers.items() for frame in range(2))


def of(before: Manifest, after: Manifest, *settings: Setting) -> DataDiff:
    return compare(before, after, NAMES, settings)


FIRST = {"fist/a": (1, "train"), "fist/b": (2, "test"), "palm/a": (3, "train"), "palm/b": (4, "test"), "palm/c": (5, "val")}


def test_added_clips_are_said_by_class_and_split_and_that_test_stays() -> None:
    diff = of(clips(FIRST), clips(FIRST | {"fist/c": (6, "train"), "fist/d": (7, "train"), "palm/d": (8, "val")}))
    assert sentences(diff)[:4] == [
        "2 clips of 'fist' added to train",
        "1 clip of 'palm' added to val",
        "no clip moved between splits",
        "test is the same 2 clips",
    ]
    assert summary(diff) == "3 clips added, none moved"
    assert diff.frames == {"added": 6, "removed": 0, "changed": 0, "relabelled": 0, "moved": 0, "kept": 10}
    line = next(line for line in diff.balance if (line.label, line.split) == ("fist", "train"))
    assert (line.clips_before, line.clips, line.frames_before, line.frames) == (1, 3, 2, 6)


def test_a_clip_is_known_by_its_bytes_whatever_happened_to_it() -> None:
    after = {
        "fist/new-name": (1, "train"), "fist/b": (2, "val"), "palm/b": (4, "test"), "palm/c": (9, "val"), "fist/x": (3, "train")
    }  # fmt: skip
    diff = of(clips(FIRST), clips(after))
    assert [(change.was, change.clip) for change in diff.renamed] == [("fist/a", "fist/new-name")]
    assert [(change.clip, change.split_before, change.split) for change in diff.moved] == [("fist/b", "test", "val")]
    assert [(change.was, change.labels_before, change.labels) for change in diff.relabelled] == [
        ("palm/a", ("palm",), ("fist",))
    ]
    assert [change.clip for change in diff.changed] == ["palm/c"]
    assert not diff.added
    assert not diff.removed
    text = " | ".join(sentences(diff))
    assert "1 clip relabelled: fist/x from 'palm' to 'fist'" in text
    assert "1 clip moved between splits: fist/b from test to val" in text
    assert "1 clip renamed: fist/a is fist/new-name" in text
    assert "1 clip with the same name and other bytes: palm/c" in text
    assert "test is another: 4 images before, 2 now, 2 in common" in text


def test_what_is_removed_and_which_class_went_with_it() -> None:
    diff = of(clips(FIRST), clips({clip: where for clip, where in FIRST.items() if clip.startswith("palm")}))
    assert sentences(diff)[:3] == [
        "class 'fist' is gone",
        "1 clip of 'fist' removed from train",
        "1 clip of 'fist' removed from test",
    ]
    assert summary(diff) == "2 clips removed, none moved"


def test_other_settings_are_said_and_the_same_data_set_is_the_same() -> None:
    same = of(clips(FIRST), clips(FIRST))
    assert same.same_frames
    assert sentences(same) == ["hand@1 and hand@2 have the same clips, frames and splits"]
    other = clips(FIRST).model_copy(update={"split": Split(test=0.1)})
    assert sentences(of(clips(FIRST), other, Setting(name="fps", before="5", after="2")))[1:] == [
        "split test was 0.2, is 0.1",
        "fps was 5, is 2",
    ]


def test_frames_of_the_same_test_clips_taken_otherwise_are_not_the_same_test() -> None:
    after = data_set(row(clip, number, split, frame) for clip, (number, split) in FIRST.items() for frame in range(3))
    assert "test is of the same 2 clips, but not the same frames: 4 images before, 6 now, 4 in common" in sentences(
        of(clips(FIRST), after)
    )


def images(files: Mapping[str, int], **fields) -> Manifest:
    rows = [
        row(f"{file.split('/')[0]}/x", number, clip=f"image {number}", source=file, sha256=f"clip {number}")
        for file, number in files.items()
    ]
    return data_set(rows, source="images", groups="unknown", **fields)


def test_images_are_known_by_their_files_where_their_bytes_changed() -> None:
    diff = of(images({"a/1.jpg": 1, "a/2.jpg": 2, "b/1.jpg": 3}), images({"a/1.jpg": 1, "a/2.jpg": 20, "a/3.jpg": 3}))
    assert diff.unit == "image"
    assert [change.clip for change in diff.changed] == ["a/2.jpg"]
    assert [(change.was, change.clip) for change in diff.relabelled] == [("b/1.jpg", "a/3.jpg")]
    assert diff.frames == {"added": 0, "removed": 0, "changed": 1, "relabelled": 1, "moved": 0, "kept": 2}


def test_images_that_are_grouped_now_are_the_same_images() -> None:
    rows = [row("a/x", number, clip="s1", source=f"a/{number}.jpg", sha256=f"clip {number}") for number in (1, 2)]
    diff = of(images({"a/1.jpg": 1, "a/2.jpg": 2}), data_set(rows, source="images"))
    assert not diff.added
    assert not diff.removed
    assert "groups was unknown, is known" in sentences(diff)


def box(label: str, left: float) -> Box:
    return Box(label=label, left=left, top=0.1, right=left + 0.2, bottom=0.4)


def test_boxes_are_counted_by_class() -> None:
    def detect(*boxes: tuple[Box, ...]) -> Manifest:
        rows = [row("/x", number, clip=f"c{number}", label="", boxes=held) for number, held in enumerate(boxes)]
        return data_set(rows, source="images", task="detect", labels=["cup", "hand"])

    before = detect((box("cup", 0.1), box("cup", 0.3)), (box("hand", 0.1),), ())
    after = detect((box("cup", 0.1), box("cup", 0.35), box("hand", 0.2)), (), (box("cup", 0.5),))
    diff = of(before, after)
    counts = {line.label: (line.added, line.removed, line.changed) for line in diff.boxes}
    assert counts == {"cup": (1, 0, 1), "hand": (1, 1, 0)}
    assert not diff.same_frames
    assert of(before, before).same_frames


@settings(max_examples=40)
@given(
    st.dictionaries(st.integers(0, 12), st.sampled_from(["train", "val", "test"]), min_size=1),
    st.dictionaries(st.integers(0, 12), st.sampled_from(["train", "val", "test"]), min_size=1),
)
def test_counts_add_up_whatever_changed(old: dict[int, str], new: dict[int, str]) -> None:
    before, after = (
        clips({f"{'ab'[number % 2]}/{number}": (number, split) for number, split in side.items()}) for side in (old, new)
    )
    diff = of(before, after)
    frames = diff.frames
    assert len(before.frames) == frames["kept"] + frames["changed"] + frames["removed"]
    assert len(after.frames) == frames["kept"] + frames["changed"] + frames["added"]
    assert {change.clip for change in diff.added} == {clip for clip in _names(after) if clip not in _names(before)}
    assert len(diff.moved) == sum(old[number] != new[number] for number in old.keys() & new.keys())
    assert diff.same_frames == (old == new)
    back = of(after, before)
    assert (len(back.added), len(back.removed), len(back.moved)) == (len(diff.removed), len(diff.added), len(diff.moved))


def _names(manifest: Manifest) -> set[str]:
    return {row.clip for row in manifest.frames}


def test_real_data_sets_differ_as_said(tmp_path: Path) -> None:
    numbers = {f"{label}/{number}": number + (50 if label == "b" else 0) for label in "ab" for number in range(4)}
    before = write_dataset(DrawnSource(numbers), tmp_path / "one", Dealing(Split()), lambda *_: None)
    after = write_dataset(
        DrawnSource(numbers | {"a/new": 20}), tmp_path / "two", Dealing(Split(), [before.manifest]), lambda *_: None
    )
    assert summary(of(before.manifest, after.manifest)) == "1 clip added, none moved"


def test_relabelled_images_are_said_by_the_classes_and_not_one_by_one() -> None:
    """In groups, by themselves, and as frames of a clip: the sentence is as short as what was done."""

    def signed(labels: str, *, grouped: bool) -> list[FrameRow]:
        return [row(f"{label}/{'signer' if grouped else number}", number, frame=number) for number, label in enumerate(labels)]

    for grouped, source, word in ((False, "images", "image"), (True, "images", "image"), (True, "clips", "frame")):
        before, after = (
            data_set(
                [
                    frame.model_copy(update={"clip": "signer" if grouped else str(frame.sha256)})
                    for frame in signed(labels, grouped=grouped)
                ],
                source=source,
                groups="known" if grouped else "unknown",
            )
            for labels in ("80380", "37380")
        )
        diff = of(before, after)
        assert f"2 {word}s relabelled: 8→3, 0→7" in sentences(diff), (grouped, source)
    many = of(*(data_set((row(f"{label}/{n}", n) for n in range(9)), source="images", groups="unknown") for label in "ab"))
    assert "9 images relabelled: a→b (9)" in sentences(many)
