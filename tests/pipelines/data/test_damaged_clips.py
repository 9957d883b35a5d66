"""A clip that is damaged gives what decodes and says what is missing; no bytes crash a reader, hang it or leave half a data set."""

from __future__ import annotations

import random
import re
import shutil
import sys
import time
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from pipelines.data.build import build_dataset, open_source
from pipelines.data.dataset import SOURCES
from pipelines.data.frames import ClipFrames, Sampling, extract
from pipelines.data.video import reader as video_reader
from pipelines.job.jobfile import Data
from registry.errors import InputError
from registry.files import read_json

sys.path.insert(0, str(Path(__file__).parent))
from clip_maker import Film, make_clip

FIVE = Sampling(fps=5, min_change=0)
FRONT = {"movflags": "faststart"}


def quiet(*_: object) -> None:
    return


def cut(clip: Path, share: float) -> Path:
    content = clip.read_bytes()
    clip.write_bytes(content[: int(len(content) * share)])
    return clip


CUT = {
    "index-in-front.mp4": Film(range(0, 4000, 40), muxing=FRONT),
    "fragments.mp4": Film(range(0, 4000, 40), muxing={"movflags": "frag_keyframe+empty_moov"}, options={"g": "100"}),
    "clip.mkv": Film(range(0, 4000, 40)),
    "clip.avi": Film(range(0, 4000, 40), codec="mpeg4", unit=Fraction(1, 25)),
}


@pytest.mark.parametrize("name", CUT)
def test_a_clip_that_is_cut_short_gives_what_it_has_and_says_how_much_that_is(name: str, tmp_path: Path) -> None:
    frames = ClipFrames(cut(make_clip(tmp_path / name, CUT[name]), 0.6), FIVE)
    kept = list(frames)
    report = frames.report
    assert 4 <= len(kept) < 20
    assert report.kept == len(kept)
    assert report.decoded == report.kept + report.by_rate + report.unchanged < 100
    known = r"\d+" if "fragments" in name else "100"  # those that were to follow were not written yet
    seconds = rf"{report.seconds:.1f} of 4.0 seconds"
    assert re.fullmatch(rf"is not whole: ({report.decoded} of {known} frames|{seconds}) decode", report.damage)
    with pytest.raises(InputError, match=report.damage):
        extract(tmp_path / name, FIVE)


def broken(clip: Path, numbers: Sequence[int], frames: int) -> Path:
    """A clip of PNG frames, some of which cannot be decoded."""
    make_clip(clip, Film(range(0, frames * 40, 40), codec="png", pixels="rgb24"))
    content = bytearray(clip.read_bytes())
    starts = [match.start() for match in re.finditer(b"IHDR", content)]
    assert len(starts) == frames
    for number in numbers:
        content[starts[number] : starts[number] + 4] = b"XXXX"
    clip.write_bytes(content)
    return clip


def test_frames_in_the_middle_that_do_not_decode_cost_themselves_only(tmp_path: Path) -> None:
    frames = ClipFrames(broken(tmp_path / "clip.mov", range(1, 60, 2), 100), FIVE)
    assert [round(frame.seconds, 2) for frame in frames][:3] == [0.0, 0.24, 0.4]
    assert frames.report.damage == "is not whole: 70 of 100 frames decode"
    assert frames.report.undecodable == 30


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_what_decodes_does_not_depend_on_the_machines_cores(threads: int, tmp_path: Path, monkeypatch) -> None:
    clip = broken(tmp_path / "clip.mov", (3, 26, 27), 30)
    opened = video_reader._opened
    monkeypatch.setattr(
        video_reader, "_opened", lambda path, threads_=threads, **given: opened(path, **given or {"threads": threads_})
    )
    frames = ClipFrames(clip, Sampling(25, 0))
    assert [frame.index for frame in frames] == list(range(27))
    assert (frames.report.decoded, frames.report.undecodable) == (27, 3)


def test_a_clip_without_a_frame_is_an_error_that_names_it(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Film(muxing=FRONT))
    content = clip.read_bytes()
    clip.write_bytes(content[: content.find(b"mdat") + 8])
    with pytest.raises(InputError, match=r"clip\.mp4: is a video of which no frame decodes"):
        extract(clip, FIVE)


@pytest.fixture
def damaged(clips: Path, tmp_path: Path) -> Path:
    """The demo's clips, of which one is cut short."""
    folder = Path(shutil.copytree(clips, tmp_path / "clips"))
    cut(make_clip(folder / "0" / "cut.mp4", Film(range(0, 4000, 40), muxing=FRONT)), 0.6)
    return folder


def test_a_data_set_tells_of_each_clip_what_was_kept_and_dropped(damaged: Path, tmp_path: Path) -> None:
    data = build_dataset(Data(clips=damaged), tmp_path / "data", quiet)
    sources = read_json(data.folder / SOURCES)
    by_clip = {clip["clip"]: clip for clip in sources["clips"]}
    assert len(by_clip) == 19
    for name, clip in by_clip.items():
        assert clip["kept"] == sum(row.clip == name for row in data.manifest.frames) > 0
        assert clip["decoded"] == clip["kept"] + clip["by_rate"] + clip["unchanged"]
    assert by_clip["0/cut.mp4"]["undecodable"] > 30
    assert sources["warnings"] == [f"0/cut.mp4: {by_clip['0/cut.mp4']['damage']}"]


def test_strict_refuses_a_damaged_clip_and_leaves_nothing(damaged: Path, tmp_path: Path) -> None:
    source = open_source(Data(clips=damaged), strict=True)
    with pytest.raises(InputError, match=r"cut.mp4: is not whole: \d+ of 100 frames decode"):
        list(source.pictures(quiet))


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_among_clips_is_never_left_out_in_silence(make, clips: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(clips, tmp_path / "clips"))
    make(folder / "0" / "more.mp4")
    (left_out,) = open_source(Data(clips=folder)).report()["left_out"]
    assert left_out["file"] == "0/more.mp4"
    with pytest.raises(InputError, match=r"more.mp4: (an empty folder|a link to nothing)"):
        open_source(Data(clips=folder), strict=True)


def test_memory_does_not_grow_with_a_clips_length(tmp_path: Path) -> None:
    peaks = dict[int, int]()
    for seconds in (2, 20):
        clip = make_clip(
            tmp_path / f"{seconds}.mp4", Film(range(0, seconds * 1000, 40), size=(320, 240), options={"preset": "ultrafast"})
        )
        tracemalloc.start()
        for frame in ClipFrames(clip, Sampling(25, 0)):
            frame.jpeg()
        peaks[seconds] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[20] < peaks[2] * 1.5 + 500_000


MUTATED = {
    "a.mp4": Film(options={"g": "5"}),
    "b.mkv": Film(),
    "c.webm": Film(codec="libvpx"),
    "d.avi": Film(codec="mjpeg", pixels="yuvj420p", unit=Fraction(1, 25)),
    "e.mp4": Film(muxing={"movflags": "frag_keyframe+empty_moov"}, options={"g": "5"}),
    "f.mp4": Film(kind="mpegts"),
    "g.mov": Film(codec="png", pixels="rgb24", turned=(90, False, False)),
    "h.mp4": Film(audio=True, muxing=FRONT),
}


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Cut, flip, blank, repeat or insert some bytes, at the head more often than elsewhere."""
    changed, at = bytearray(content), chance.randrange(len(content) if chance.random() < 0.6 else min(len(content), 1500))
    size = chance.randrange(1, 400)
    match chance.randrange(5):
        case 0:
            return bytes(changed[:at])
        case 1:
            for _ in range(chance.choice([1, 3, 30, 300])):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
        case 2:
            changed[at : at + size] = bytes(min(size, len(changed) - at))
        case 3:
            changed[at:at] = changed[at : at + size]
        case _:
            changed[at:at] = chance.randbytes(size)
    return bytes(changed)


@pytest.mark.parametrize("name", MUTATED)
def test_no_bytes_crash_or_hang_a_reader(name: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / name, MUTATED[name])
    content, chance = clip.read_bytes(), random.Random(name)  # noqa: S311 the same bytes each time
    outcomes = set[str]()
    for _ in range(60):
        clip.write_bytes(mutate(content, chance))
        began = time.monotonic()
        frames = ClipFrames(clip, FIVE)
        try:
            for frame in frames:
                frame.jpeg()
            outcomes.add("damaged" if frames.report.damage else "read")
        except InputError as error:
            outcomes.add("refused" if len(str(error).splitlines()) == 1 else str(error))
        assert time.monotonic() - began < 20
    assert {"read", "refused"} <= outcomes <= {"read", "refused", "damaged"}
