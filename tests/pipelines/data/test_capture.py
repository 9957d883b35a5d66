"""Takes from a camera: one file each, whole or not there, clean pictures with the times at which they came."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.build import build_dataset
from pipelines.data.capture import stage as stages
from pipelines.data.capture.camera import Camera, Shot
from pipelines.data.capture.film import Script, advice, check_script, film
from pipelines.data.capture.stage import Terminal, Window
from pipelines.data.capture.take import Take
from pipelines.data.dataset import SOURCES
from pipelines.data.frames import ClipFrames, Sampling, extract
from pipelines.job.jobfile import Data
from registry.errors import InputError, StorageError, UnavailableError
from registry.files import read_json

sys.path.insert(0, str(Path(__file__).parent))
from clip_maker import painted

ALL = Sampling(fps=120, min_change=0)
BEGAN = datetime(2026, 5, 1, 10, tzinfo=UTC)


def quiet(*_: object) -> None:
    return


class Reel:
    """A camera that gives painted pictures at given times, and then fails."""

    name, is_live = "reel", False

    def __init__(self, times: Iterator[float], error: BaseException | None = None) -> None:
        self.times, self.error, self.given, self.closed = times, error, list[Shot](), False

    def flush(self) -> None:
        return

    def read(self) -> Shot:
        at = next(self.times, None)
        if at is None:
            raise self.error or UnavailableError("reel", "has ended", "film less")
        image = np.ascontiguousarray(painted(len(self.given))[..., ::-1])
        self.given.append(Shot(image, at, BEGAN))
        return self.given[-1]

    def close(self) -> None:
        self.closed = True


def steady(seconds: float = 1000, rate: float = 20) -> Iterator[float]:
    return (number / rate for number in range(int(seconds * rate)))


def script(out: Path, **given: object) -> Script:
    fields = {"labels": ["hand", "not_hand"], "seconds": 1.0, "takes": 3, "out": out, "session": "s1"} | given
    return Script(**fields)  # type: ignore[arg-type]


def filmed(camera: Camera, wanted: Script) -> list[Take]:
    return list(film(camera, wanted, Terminal(quiet)))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_each_take_is_a_file_of_its_own_under_its_class(tmp_path: Path) -> None:
    takes = filmed(Reel(steady()), script(tmp_path, person="ada"))
    expected = [f"{label}/s1-ada-take-0{number}.mp4" for label in ("hand", "not_hand") for number in (1, 2, 3)]
    assert names(tmp_path) == expected == [take.file.relative_to(tmp_path).as_posix() for take in takes]
    assert all(take.frames == 20 for take in takes)


def test_takes_are_numbered_on_and_nothing_is_ever_replaced(tmp_path: Path) -> None:
    filmed(Reel(steady()), script(tmp_path, takes=1))
    before = (tmp_path / "hand" / "s1-take-01.mp4").read_bytes()
    (tmp_path / "hand" / "s1-take-07.mov").write_bytes(b"theirs")
    filmed(Reel(steady()), script(tmp_path, takes=1))
    assert names(tmp_path / "hand") == ["s1-take-01.mp4", "s1-take-07.mov", "s1-take-08.mp4"]
    assert (tmp_path / "hand" / "s1-take-01.mp4").read_bytes() == before


def test_a_file_that_appears_meanwhile_is_not_replaced_either(tmp_path: Path) -> None:
    class Rival(Reel):
        def read(self) -> Shot:
            (tmp_path / "hand" / "s1-take-01.mp4").write_bytes(b"theirs")
            return super().read()

    with pytest.raises(InputError, match="is there already"):
        filmed(Rival(steady()), script(tmp_path))
    assert names(tmp_path) == ["hand/s1-take-01.mp4"]
    assert (tmp_path / "hand" / "s1-take-01.mp4").read_bytes() == b"theirs"


def test_pictures_are_stored_as_they_came_and_when_they_came(tmp_path: Path) -> None:
    times = [5.0, 5.033, 5.05, 5.4, 5.45, 5.9, 6.0]
    camera = Reel(iter(times))
    (take,) = filmed(camera, script(tmp_path, labels=["hand"], takes=1))
    kept = extract(take.file, ALL)
    assert [round(frame.seconds, 3) for frame in kept] == [round(at - 5, 3) for at in times[: len(kept)]]
    assert len(kept) >= 6
    for frame, shot in zip(kept, camera.given, strict=False):
        assert np.abs(frame.image.astype(int) - shot.image).mean() < 6


def test_what_is_shown_to_a_person_is_never_in_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = list[np.ndarray]()
    monkeypatch.setattr(stages.cv2, "imshow", lambda _, image: shown.append(image))
    monkeypatch.setattr(stages.cv2, "waitKey", lambda _: -1)
    camera = Reel(steady())
    (take,) = film(camera, script(tmp_path, labels=["hand"], takes=1), Window(quiet, waits=False))
    assert not np.array_equal(shown[0], camera.given[0].image)
    assert np.array_equal(camera.given[0].image, painted(0)[..., ::-1])
    assert np.abs(extract(take.file, ALL)[0].image.astype(int) - painted(0)[..., ::-1]).mean() < 6


def test_escape_in_the_window_stops_like_control_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages.cv2, "imshow", quiet)
    monkeypatch.setattr(stages.cv2, "waitKey", lambda _: 27)
    with pytest.raises(KeyboardInterrupt):
        list(film(Reel(steady()), script(tmp_path), Window(quiet)))
    assert names(tmp_path) == []


def test_mirroring_is_done_and_noted_with_who_when_and_what(tmp_path: Path) -> None:
    plain, mirrored = tmp_path / "plain", tmp_path / "mirrored"
    filmed(Reel(steady()), script(plain, labels=["hand"], takes=1, person="ada"))
    filmed(Reel(steady()), script(mirrored, labels=["hand"], takes=1, mirror=True, person="ada"))
    frames = ClipFrames(mirrored / "hand" / "s1-ada-take-01.mp4", ALL)
    flipped = next(iter(extract(plain / "hand" / "s1-ada-take-01.mp4", ALL))).image[:, ::-1]
    assert np.abs(next(iter(frames)).image.astype(int) - flipped).mean() < 4
    list(frames)
    note = frames.report.take
    assert note is not None
    assert (note.label, note.number, note.session, note.person, note.camera, note.mirrored) == (
        "hand",
        1,
        "s1",
        "ada",
        "reel",
        True,
    )
    assert frames.report.captured.startswith("2026-05-01T10:00:00")


def test_frames_says_of_each_clip_what_its_take_noted(tmp_path: Path) -> None:
    filmed(Reel(steady()), script(tmp_path / "clips"))
    data = build_dataset(Data(clips=tmp_path / "clips"), tmp_path / "data", quiet)
    clips = read_json(data.folder / SOURCES)["clips"]
    assert [clip["take"]["number"] for clip in clips] == [1, 2, 3, 1, 2, 3]
    assert all(row.captured.startswith("2026-05-01T10:00:0") for row in data.manifest.frames)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), UnavailableError("camera 0", "gives no pictures any more", "plug it in")]
)
def test_a_take_that_is_broken_off_is_gone_and_those_before_it_stay(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        filmed(Reel(steady(2.4), error), script(tmp_path))
    assert names(tmp_path) == ["hand/s1-take-01.mp4", "hand/s1-take-02.mp4"]
    assert [len(extract(tmp_path / name, ALL)) for name in names(tmp_path)] == [20, 20]


def test_a_first_take_that_is_broken_off_leaves_no_empty_class(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        filmed(Reel(steady(0.5), KeyboardInterrupt()), script(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_costs_the_take_only(tmp_path: Path) -> None:
    import resource
    import signal

    filmed(Reel(steady()), script(tmp_path, labels=["hand"], takes=1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError, match="could not be written"):
            filmed(Reel(steady()), script(tmp_path, labels=["hand"], takes=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert names(tmp_path) == ["hand/s1-take-01.mp4"]


def test_a_live_camera_is_counted_down_and_what_was_shown_then_is_no_part_of_the_take(tmp_path: Path) -> None:
    camera, heard = Reel(steady()), list[str]()
    camera.is_live = True
    takes = list(film(camera, script(tmp_path, takes=1, countdown=2), Terminal(heard.append)))
    assert [(take.note.label, take.frames) for take in takes] == [("hand", 20), ("not_hand", 20)]
    turns = [f"'{label}', take 1 of 1, 1 s|{label} in 2|{label} in 1" for label in ("hand", "not_hand")]
    assert heard == "|".join(turns).split("|")


BAD = [
    {"labels": []}, {"labels": ["a/b"]}, {"labels": [".."]}, {"labels": ["a\n"]}, {"labels": [" "]}, {"labels": ["a", "A"]},
    {"labels": [os.fsdecode(b"\xff")]}, {"labels": ["x" * 300]}, {"session": "../up"}, {"person": "a b"}, {"person": "-x"},
    {"seconds": float("nan")}, {"seconds": float("inf")}, {"out": Path(__file__)},
]  # fmt: skip


@pytest.mark.parametrize("given", BAD, ids=lambda given: ascii(next(iter(given.items())))[:30])
def test_what_cannot_be_filmed_is_said_before_a_camera_is_opened(given: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_script(script(**{"out": tmp_path} | given))  # type: ignore[arg-type]
    str(caught.value).encode()


def test_fewer_than_three_takes_are_said_to_be_too_few_and_why(tmp_path: Path) -> None:
    two = script(tmp_path, takes=2)
    filmed(Reel(steady()), two)
    assert advice(two)[0].startswith("class 'hand' has 2 takes, and 3 are needed: all frames of a take go to one of train, val")
    filmed(Reel(steady()), script(tmp_path, takes=1))
    assert advice(two) == []
