"""Every way in which a held-out picture of a data set is known before the test: one pass, one report.

The splits are ordered train, val, test, and a picture counts as leaked against any split before its own. What the file's
bytes, the clip or the group say is certain; pixels are judged by measured limits; names and times count only where
nobody said which pictures belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pipelines.data.dataset import SPLITS, DataSet, FrameRow, Progress
from pipelines.data.leaks.measure import Limits, Pictures, background_difference
from pipelines.data.leaks.names import jumps_of, numbered
from pipelines.data.leaks.pixels import Described, alike_across
from pipelines.data.leaks.recordings import crossings
from pipelines.data.leaks.remedy import dealing_again, without_other_scene
from pipelines.data.leaks.report import KINDS, Kind, Leak, LeakReport
from pipelines.data.leaks.support import supported
from pipelines.data.leaks.thumbnails import Sized, thumbnails
from pipelines.data.leaks.times import apart_in_words, clock, pause_of, taken_at

_SAMPLE, _OTHERS = 100, 4000


def find_leaks(data: DataSet, progress: Progress | None = None) -> LeakReport:
    """All leaks of a data set; the same whatever the order of its rows. Each picture is decoded once, at a reduced scale."""
    tell: Progress = progress or (lambda *_: None)
    rows = sorted(data.manifest.frames, key=lambda row: row.file)
    leaks = [*_identical(rows), *_together(rows, data)]
    files = [Sized(data.folder / row.file, row.width, row.height) for row in rows]
    with thumbnails(files, tell) as (pictures, readable):
        described = Described.of(pictures)
        same = {leak.file_b for leak in leaks if leak.kind == "bytes"}
        leaks += _alike(rows, described, readable, same, tell)
        if data.manifest.source == "images" and data.manifest.groups == "unknown":
            leaks += _in_recordings(rows, pictures, data)
        plain = int(((described.spread < Limits().spread) & np.asarray([row.split != "train" for row in rows])).sum())
        alike = _alike_in_train(rows, described, readable) if data.manifest.groups == "known" else None
    kept = supported(leaks, rows, data.manifest.groups)
    single = len({leak.file_b for leak in leaks} - {leak.file_b for leak in kept})
    first = {(leak.kind, leak.file_b): leak for leak in reversed(kept)}
    leaks = sorted(first.values(), key=lambda leak: (KINDS.index(leak.kind), leak.split_b, leak.file_b))
    images = {split: len(data.rows(split)) for split in SPLITS}
    return LeakReport(
        dataset=data.manifest.digest,
        images=images,
        leaks=tuple(leaks),
        groups=data.manifest.groups,
        plain=plain,
        single=single,
        source=data.manifest.source,
        again=dealing_again(data.manifest),
        one_scene=without_other_scene(rows, leaks) if data.manifest.groups == "known" else "",
        alike_in_train=alike,
    )


def _in_recordings(rows: Sequence[FrameRow], pictures: Pictures, data: DataSet) -> Iterator[Leak]:
    """Pictures of one recording on both sides, by their numbers and by their times."""
    splits = [row.split for row in rows]
    seconds = clock([taken_at(data.folder / row.file, row.captured) for row in rows])
    pause = pause_of(seconds.values())
    sequences = numbered([(row.source or row.file, row.label) for row in rows])
    for it in crossings(sequences, pictures, splits, jumps_of(sequences, seconds, pause)):
        names = [PurePosixPath(rows[position].source or rows[position].file).name for position in (it.held_out, it.earlier)]
        text = f"{names[0]} and {names[1]} are numbered in one recording"
        yield _leak("name_sequence", rows[it.earlier], rows[it.held_out], it.apart, text)
    in_time = [sorted((moment, position) for position, moment in seconds.items())]
    for it in crossings(in_time, pictures, splits, lambda before, after: after[0] - before[0] > pause):
        yield _leak("capture_time", rows[it.earlier], rows[it.held_out], it.apart, apart_in_words(it.apart))


def _identical(rows: Sequence[FrameRow]) -> Iterator[Leak]:
    return _first_earlier(rows, lambda row: row.sha256, "bytes", lambda _: "the files are the same, byte for byte")


def _together(rows: Sequence[FrameRow], data: DataSet) -> Iterator[Leak]:
    """What should not have been split: a clip (under whatever name), or a group."""
    if data.manifest.source == "clips":
        yield from _first_earlier(rows, lambda row: row.clip, "clip", lambda row: f"both are of the clip {row.clip}")
        named = {row.clip for row in rows}
        by_bytes = _first_earlier(
            rows, lambda row: row.clip_sha256, "clip", lambda row: f"both are of one clip's bytes, such as {row.clip}"
        )
        if len(named) != len({row.clip_sha256 for row in rows}):
            yield from by_bytes
    elif data.manifest.groups == "known":
        yield from _first_earlier(rows, lambda row: row.clip, "group", lambda row: f"both are of the group {row.clip}")


def _first_earlier(
    rows: Sequence[FrameRow], key: Callable[[FrameRow], str], kind: Kind, text: Callable[[FrameRow], str]
) -> Iterator[Leak]:
    """The rows whose key a row of an earlier split has, too; with the first such row."""
    first = dict[str, FrameRow]()
    for split in SPLITS:
        mine = [row for row in rows if row.split == split]
        for row in mine:
            if key(row) in first:
                yield _leak(kind, first[key(row)], row, 0, text(row))
        for row in mine:
            first.setdefault(key(row), row)


def _alike(
    rows: Sequence[FrameRow], described: Described, readable: NDArray[np.bool_], same: set[str], progress: Progress
) -> Iterator[Leak]:
    """Copies and scenes, against all earlier splits; the nearer one counts where two are alike."""
    for rank, split in enumerate(SPLITS):
        ours = [
            position for position, row in enumerate(rows) if row.split == split and readable[position] and row.file not in same
        ]
        theirs = [position for position, row in enumerate(rows) if row.split in SPLITS[:rank] and readable[position]]
        earlier, held_out = np.asarray(theirs, np.int64), np.asarray(ours, np.int64)
        for pair in alike_across(described, earlier, held_out, progress):
            kind: Kind = "near_duplicate" if pair.is_copy else "scene"
            yield _leak(kind, rows[pair.earlier], rows[pair.held_out], pair.value, pair.text)


def _alike_in_train(rows: Sequence[FrameRow], described: Described, readable: NDArray[np.bool_]) -> float | None:
    """Of a sample of training pictures, the share that lies as near to another clip of train as a leak would.

    It puts a finding into proportion: where it is high, the clips themselves share their scenes.
    """
    places = [position for position, row in enumerate(rows) if row.split == "train" and readable[position]]
    limits, random = Limits(), np.random.default_rng(0)
    others = random.permutation(places)[:_OTHERS]
    near, asked = 0, random.permutation(places)[:_SAMPLE].tolist()
    for position in asked:
        apart = [other for other in others.tolist() if rows[other].clip != rows[position].clip]
        if apart:
            coarse = _to_all(described, position, np.asarray(apart), 4)
            best = np.asarray(apart)[np.argsort(coarse)[:8]]
            value = float(_to_all(described, position, best, 1).min())
            near += value <= min(limits.scene, limits.scene_share * float(described.spread[position]))
    return near / len(asked) if asked else None


def _to_all(described: Described, position: int, others: NDArray[np.int64], step: int) -> NDArray[np.float32]:
    ours = np.broadcast_to(
        described.pictures[position, ::step, ::step], (len(others), *described.pictures[position, ::step, ::step].shape)
    )
    return background_difference(ours, described.pictures[others][:, ::step, ::step])


def _leak(kind: Kind, earlier: FrameRow, held_out: FrameRow, value: float, text: str) -> Leak:
    return Leak(
        kind=kind,
        split_a=earlier.split,
        file_a=earlier.file,
        split_b=held_out.split,
        file_b=held_out.file,
        value=round(float(value), 3),
        text=text,
    )
