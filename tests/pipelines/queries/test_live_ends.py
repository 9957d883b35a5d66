"""`modelyard live` ends well, whatever ends it: an unplugged camera, Ctrl-C, a full disk; and it never waits behind a camera."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
from live_world import COLOURS, LiveWorld, colour_clip, times_of

from pipelines.data.capture.camera import LiveCamera
from pipelines.queries.live import live as module
from pipelines.queries.live.sources import CameraSource
from registry.errors import StorageError, UnavailableError


@pytest.fixture(scope="module")
def bundle(make_bundle: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> object:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture
def world(bundle: object, monkeypatch: pytest.MonkeyPatch) -> LiveWorld:
    return LiveWorld(bundle, monkeypatch)  # type: ignore[arg-type]


def filmed(pictures: Callable[[], Generator[np.ndarray]]) -> CameraSource:
    """A camera of this machine that gives these pictures, BGR."""
    return CameraSource(LiveCamera("camera 0", pictures, 2.0, held=1), ends=False)


def plain(label: str) -> np.ndarray:
    return np.full((48, 64, 3), COLOURS[label][::-1], np.uint8)


def test_a_camera_that_is_unplugged_leaves_a_whole_video_and_says_after_how_many_frames(
    world: LiveWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = threading.Semaphore(1)

    def pictures() -> Generator[np.ndarray]:
        for label in ["red", "green", "blue", "red", "green"]:
            taken.acquire(timeout=5)
            yield plain(label)
        taken.acquire(timeout=5)

    monkeypatch.setattr(module, "open_source", lambda _: filmed(pictures))
    looking = module.Live(lambda: world.ledger, lambda: None)  # type: ignore[arg-type]
    out = tmp_path / "seen.mp4"
    summary, failure = looking.live(
        "colours/1", "0", module.LiveOptions(out=out), lambda answer, _: (world.answers.append(answer), taken.release())
    )
    assert world.labels == ["red", "green", "blue", "red", "green"]
    assert (summary.frames, summary.ended) == (5, "it broke off")
    assert isinstance(failure, UnavailableError)
    assert "camera 0: gives no pictures any more, after 5 frames; " in str(failure)
    assert f"the video up to there is {out}" in str(failure)
    assert len(times_of(out)) == 5


def test_of_a_camera_only_the_newest_picture_counts(world: LiveWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, busy = threading.Event(), threading.Event()

    def pictures() -> Generator[np.ndarray]:
        yield plain("red")
        busy.wait(5)
        for label in ["green", "green", "green", "blue"]:  # while the first is answered
            yield plain(label)
        ready.set()
        time.sleep(0.2)

    def watch(answer: object, _: int) -> None:
        world.answers.append(answer)  # type: ignore[arg-type]
        busy.set()
        ready.wait(5)

    monkeypatch.setattr(module, "open_source", lambda _: filmed(pictures))
    looking = module.Live(lambda: world.ledger, lambda: None)  # type: ignore[arg-type]
    summary, _ = looking.live("colours/1", "0", module.LiveOptions(), watch)
    assert world.labels == ["red", "blue"]
    assert 2 <= summary.dropped <= 3


def test_ctrl_c_leaves_a_whole_video(world: LiveWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Generator[np.ndarray]:
        while True:
            time.sleep(0.005)
            yield plain("blue")

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(module, "open_source", lambda _: filmed(endless))
    looking = module.Live(lambda: world.ledger, lambda: None)  # type: ignore[arg-type]
    out = tmp_path / "seen.mp4"

    def watch(answer: object, _: int) -> None:
        world.answers.append(answer)  # type: ignore[arg-type]
        if len(world.answers) == 7:
            os.kill(os.getpid(), signal.SIGINT)

    summary, failure = looking.live("colours/1", "0", module.LiveOptions(out=out), watch)
    assert (summary.frames, summary.ended, failure) == (7, "stopped", None)
    assert len(times_of(out)) == 7
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_ends_the_wait_for_a_camera_at_once(world: LiveWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    hung = threading.Event()

    def pictures() -> Generator[np.ndarray]:
        yield plain("blue")
        hung.wait(30)

    monkeypatch.setattr(
        module, "open_source", lambda _: CameraSource(LiveCamera("camera 0", pictures, 30.0, held=1), ends=False)
    )
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    looking = module.Live(lambda: world.ledger, lambda: None)  # type: ignore[arg-type]
    began = time.monotonic()
    summary, failure = looking.live("colours/1", "0", module.LiveOptions(), lambda *_: timer.start())
    hung.set()
    assert (summary.frames, summary.ended, failure) == (1, "stopped", None)
    assert time.monotonic() - began < 10


def test_a_full_disk_is_one_line_and_leaves_nothing(world: LiveWorld, tmp_path: Path) -> None:
    clip = colour_clip(tmp_path / "clip.mp4", [*COLOURS] * 3, list(range(0, 900, 100)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError, match="could not be written"):
            world.live(clip, out=tmp_path / "seen.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
