"""A clip's split stays: whatever is added, renamed, taken away or brought back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.dataset import SPLITS, FrameRow, Manifest, SplitName
from pipelines.data.source import Member
from pipelines.data.split import assignments_of, deal
from pipelines.job.jobfile import Split

CLIPS = st.sets(st.tuples(st.sampled_from("ab"), st.integers(0, 60)), min_size=1, max_size=60)


def members(clips: set[tuple[str, int]], *, renamed: bool = False) -> list[Member]:
    new = "new-" if renamed else ""
    return [Member(f"{label}/{new}{number}", f"bytes {label} {number}", frozenset(label)) for label, number in sorted(clips)]


def manifest(clips: list[Member], dealt: dict[str, SplitName]) -> Manifest:
    fields = {"file": "f", "sha256": "s", "width": 1, "height": 1}
    rows = [
        FrameRow(clip=clip.clip, clip_sha256=clip.digest, label=min(clip.labels), split=dealt[clip.clip], **fields)  # pyright: ignore[reportArgumentType]
        for clip in clips
    ]
    return Manifest(labels=["a", "b"], source="clips", split=Split(), frames=rows)


@settings(deadline=None)
@given(st.lists(CLIPS, min_size=2, max_size=5), st.integers(0, 3))
def test_no_clip_changes_its_split_in_any_later_version(versions: list[set[tuple[str, int]]], seed: int) -> None:
    before, seen = list[Manifest](), dict[str, SplitName]()
    for clips in versions:
        named = members(clips)
        dealt = deal(named, Split(seed=seed), assignments_of(before))
        for clip, split in dealt.items():
            assert seen.setdefault(clip, split) == split
        before.insert(0, manifest(named, dealt))


@settings(deadline=None)
@given(CLIPS, CLIPS)
def test_new_clips_bring_the_shares_nearer_and_every_split_has_each_class(
    old: set[tuple[str, int]], new: set[tuple[str, int]]
) -> None:
    first = deal(members(old), Split())
    both = members(old | new)
    dealt = deal(both, Split(), assignments_of([manifest(members(old), first)]))
    for label in "ab":
        mine = [split for clip, split in dealt.items() if clip.startswith(label)]
        fresh = sum(1 for clip in dealt if clip.startswith(label) and clip not in first)
        if len(mine) >= 3 and fresh >= 2:
            assert set(mine) == set(SPLITS)


def test_a_clip_with_another_name_is_the_same_clip() -> None:
    clips = {("a", number) for number in range(12)}
    first = deal(members(clips), Split())
    again = deal(members(clips, renamed=True), Split(seed=9), assignments_of([manifest(members(clips), first)]))
    assert {clip.replace("new-", ""): split for clip, split in again.items()} == first


def test_copies_of_a_clip_go_to_one_split_whatever_they_are_called() -> None:
    copies = [Member(f"a/{number}", f"bytes {number // 3}", frozenset("a")) for number in range(60)]
    dealt = deal(copies, Split())
    assert all(len({dealt[f"a/{3 * group + copy}"] for copy in range(3)}) == 1 for group in range(20))
    assert set(dealt.values()) == set(SPLITS)


def test_a_first_deal_is_by_hash_alone_so_a_new_class_moves_nothing() -> None:
    some = {("a", number) for number in range(10)}
    alone = deal(members(some), Split())
    assert deal(members(some | {("b", number) for number in range(7)}), Split()).items() >= alone.items()


def test_a_group_that_gains_a_class_or_a_picture_stays_where_it_is() -> None:
    groups = [Member(f"s{number}", f"picture {number} {image}", frozenset("a")) for number in range(12) for image in range(3)]
    first = deal(groups, Split())
    before = Manifest(labels=["a"], source="images", split=Split(), frames=rows_of(groups, first))
    gains = [Member("s1", "fresh", frozenset("b")), Member("s2", "fresh too", frozenset("a"))]
    assert deal([*groups, *gains], Split(seed=4), assignments_of([before])) == first


def test_pictures_that_were_apart_and_belong_together_now_go_where_one_was_trained_on() -> None:
    apart = [Member(f"p{number}", f"picture {number}", frozenset("a")) for number in range(12)]
    first = deal(apart, Split())
    before = Manifest(labels=["a"], source="images", split=Split(), frames=rows_of(apart, first))
    together = [Member(f"s{number // 4}", f"picture {number}", frozenset("a")) for number in range(12)]
    dealt = deal(together, Split(), assignments_of([before]))
    for group in range(3):
        were = {first[f"p{number}"] for number in range(4 * group, 4 * group + 4)}
        assert dealt[f"s{group}"] == next(split for split in SPLITS if split in were)


def test_two_names_that_come_to_have_the_same_bytes_are_in_one_split() -> None:
    clips = members({("a", number) for number in range(12)})
    first = deal(clips, Split())
    trained, tested = (next(clip for clip in clips if first[clip.clip] == split) for split in ("train", "test"))
    for digest in (trained.digest, tested.digest, "neither's"):
        now = [Member(clip.clip, digest, clip.labels) if clip in {trained, tested} else clip for clip in clips]
        dealt = deal(now, Split(), assignments_of([manifest(clips, first)]))
        wanted = {trained.digest: "train", tested.digest: "test"}.get(digest, "train")
        assert {dealt[trained.clip], dealt[tested.clip]} == {wanted}


def rows_of(clips: list[Member], dealt: dict[str, SplitName]) -> list[FrameRow]:
    return manifest(clips, dealt).frames
