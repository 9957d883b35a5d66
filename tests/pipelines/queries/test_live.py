"""`modelyard live`: every frame of a file by its time, answered as `predict` answers it, and a whole video of what was seen."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_world import COLOURS, LiveWorld, colour_clip, make_detector, pictures_of, times_of
from PIL import Image

from pipelines.data.capture import camera as cameras
from pipelines.queries.asking import BundleAsker
from pipelines.queries.live import live as module
from pipelines.queries.live.loop import Loop
from pipelines.queries.live.overlay import Overlay
from pipelines.queries.live.predictor import FramePredictor
from pipelines.queries.live.sources import open_source
from pipelines.queries.live.stop import Stop
from registry.errors import InputError, NotFoundError, UnavailableError
from registry.events import Evaluated, Trained, about
from registry.memory import MemoryLedger
from registry.records import Evaluation, ModelVersion, PredictionSets

sys.path.insert(0, str(Path(__file__).parents[2]))
from cputime import cpu_seconds

ORDER = [*COLOURS, *COLOURS, "blue", "blue"]
TIMES = [0, 33, 67, 140, 141, 300, 1001, 1034]
"""Of a camera with a variable rate, in ms."""


@pytest.fixture(scope="module")
def bundle(make_bundle: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> object:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture
def world(bundle: object, monkeypatch: pytest.MonkeyPatch) -> LiveWorld:
    return LiveWorld(bundle, monkeypatch)  # type: ignore[arg-type]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return colour_clip(tmp_path / "clip.mp4", ORDER, TIMES)


def test_every_frame_of_a_file_is_answered_at_its_time(world: LiveWorld, clip: Path) -> None:
    summary = world.live(clip)
    assert world.labels == ORDER
    assert [answer.seconds for answer in world.answers] == [at / 1000 for at in TIMES]
    assert [answer.frame for answer in world.answers] == list(range(8))
    assert (summary.frames, summary.dropped, summary.ended, summary.seconds, summary.out) == (8, 0, "it ended", 1.034, None)
    assert 0 < summary.latency_p50_ms <= summary.latency_p95_ms


def test_a_frame_is_answered_as_predict_answers_the_same_picture_and_not_another(world: LiveWorld, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (6, 8, 3), np.uint8)
    for number, sides in enumerate([(64, 48), (640, 480), (37, 200)]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(noise).resize(sides, Image.Resampling.BICUBIC).save(path)
        world.live(path)
        ask = BundleAsker(world.bundle, "x")
        expected = ask(path.read_bytes())["probabilities"]
        assert world.answers[0].probabilities == pytest.approx(expected, abs=1e-6)
        turned = io.BytesIO()
        Image.open(path).transpose(Image.Transpose.ROTATE_180).point(lambda level: 255 - level).save(turned, "PNG")
        assert world.answers[0].probabilities != pytest.approx(ask(turned.getvalue())["probabilities"], abs=1e-3)


def test_the_video_has_the_times_and_the_size_of_its_source_and_the_answer_in_it(
    world: LiveWorld, clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "seen.mp4"
    summary = world.live(clip, out=out)
    assert times_of(out) == pytest.approx([at / 1000 for at in TIMES], abs=1e-4)
    seen, source = pictures_of(out), pictures_of(clip)
    assert {picture.shape for picture in seen} == {(120, 160, 3)}
    for before, after in zip(source, seen, strict=True):
        difference = np.abs(before.astype(int) - after.astype(int)).max(axis=2)
        assert difference[30:70, 100:].mean() < 12  # what nothing is drawn on stays
        assert difference[-20:, :60].mean() > 40
    assert summary.out == str(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "seen.mp4"]


@given(gaps=st.lists(st.integers(1, 400), min_size=1, max_size=12))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_times_of_a_clip_its_video_has_the_same(world: LiveWorld, tmp_path: Path, gaps: list[int]) -> None:
    times = [0, *itertools.accumulate(gaps)]
    clip = colour_clip(tmp_path / "clip.mp4", ["red"] * len(times), times, (32, 32))
    world.live(clip, out=tmp_path / "seen.mkv", overwrite=True)
    assert times_of(tmp_path / "seen.mkv") == pytest.approx([at / 1000 for at in times], abs=1.1e-3)


@pytest.mark.parametrize(
    ("options", "frames", "ended"), [({"frames": 3}, 3, "--frames"), ({"seconds": 0.2}, 5, "--seconds"), ({}, 8, "it ended")]
)
def test_it_ends_early_by_frames_or_by_the_source_s_seconds(
    world: LiveWorld, clip: Path, tmp_path: Path, options: dict[str, float], frames: int, ended: str
) -> None:
    summary = world.live(clip, out=tmp_path / "seen.mov", **options)
    assert (summary.frames, summary.ended, len(times_of(tmp_path / "seen.mov"))) == (frames, ended, frames)


def test_a_clip_that_is_cut_short_is_answered_as_far_as_it_goes(world: LiveWorld, tmp_path: Path) -> None:
    whole = colour_clip(tmp_path / "whole.mkv", ["red", "green"] * 50, list(range(0, 4000, 40)))
    (cut := tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    summary = world.live(cut, out=tmp_path / "seen.mp4")
    assert 10 < summary.frames < 90
    assert "is not whole" in str(world.failure)
    assert len(times_of(tmp_path / "seen.mp4")) == summary.frames


def test_frames_of_another_size_are_fitted_into_the_first_one_s(
    world: LiveWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(64, 48), (48, 64), (640, 480)]
    frames = [SimpleNamespace(picture=Image.new("RGB", size, "red"), seconds=at) for at, size in enumerate(sizes)]
    source = SimpleNamespace(name="it", is_live=False, expected=0, dropped=0, frames=lambda: iter(frames), close=lambda: None)
    monkeypatch.setattr(module, "open_source", lambda _: source)
    assert world.live("x", out=tmp_path / "seen.mp4").frames == 3
    assert [picture.shape for picture in pictures_of(tmp_path / "seen.mp4")] == [(48, 64, 3)] * 3


@pytest.mark.parametrize("name", ["seen.avi", "seen", "none/seen.mp4", "folder.mp4", "clip.mp4", "there.mp4"])
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(
    world: LiveWorld, clip: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "there.mp4").write_bytes(b"x")
    before = clip.read_bytes()
    with pytest.raises(InputError, match=f"--out {tmp_path}"):
        world.live(clip, out=tmp_path / name, overwrite=name != "there.mp4")
    assert (world.answers, clip.read_bytes(), (tmp_path / "there.mp4").read_bytes()) == ([], before, b"x")
    world.live(clip, out=tmp_path / "there.mp4", overwrite=True)
    assert len(times_of(tmp_path / "there.mp4")) == 8


def ledger_with(threshold: float) -> MemoryLedger:
    """A ledger in which `colours/1` was evaluated with prediction sets."""
    ledger, version = MemoryLedger(), about(ModelVersion("colours", 1, 1), "d")
    ledger.append(Trained(**version, trainer="torch", usd=Decimal(0), price_as_of="2026-11-22", run_id="0" * 32, dataset="d", seconds=60, hardware="local"))  # fmt: skip
    figures = {"coverage": 0.95, "interval": (0.9, 1.0), "broken": False, "mean_size": 1.2, "unsure": 0.2}
    sets = PredictionSets(alpha=0.1, split="val", clips=9, threshold=threshold, guaranteed=True, **figures)
    facts = {"dataset": "d", "split": "test", "images": 10, "clips": 5, "classes": [], "confusion": []}
    ledger.append(Evaluated(**version, evaluation=Evaluation(metrics={"top1": 0.9}, interval=(0.7, 0.99), sets=sets, **facts)))
    return ledger


def test_it_is_unsure_by_the_version_s_own_prediction_sets_or_by_the_given_threshold(
    bundle: object, monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    sure = LiveWorld(bundle, monkeypatch, ledger_with(0.9))  # type: ignore[arg-type]
    sure.live(clip)
    assert [answer.could_be for answer in sure.answers] == [[label] for label in ORDER]
    doubtful = LiveWorld(bundle, monkeypatch, ledger_with(0.0))  # type: ignore[arg-type]
    summary = doubtful.live(clip)
    assert summary.unsure == 8
    assert sorted(doubtful.answers[0].could_be or []) == sorted(COLOURS)
    assert doubtful.live(clip, threshold=0.5).unsure == 0
    assert doubtful.answers[0].could_be is None
    assert sure.live(clip, threshold=1.0).unsure == 8


def test_a_detector_s_boxes_are_in_the_frame_s_pixels_and_a_threshold_leaves_the_weaker_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [[0, 8, 32, 56, 0.9, 1], [32, 8, 64, 56, 0.4, 0], [0, 0, 0, 0, 0, 0]]
    world = LiveWorld(make_detector(tmp_path / "b", rows, ["square", "disc"]), monkeypatch)
    picture = tmp_path / "p.png"
    Image.new("RGB", (640, 480), "grey").save(picture)
    world.live(picture, out=tmp_path / "seen.mp4")
    answer = world.answers[0]
    boxes = [(box["label"], box["score"], tuple(box["box"])) for box in answer.boxes or []]
    assert boxes == [("disc", 0.9, (0, 0, 320, 480)), ("square", 0.4, (320, 0, 640, 480))]
    assert (answer.label, answer.unsure) == ("disc", False)
    world.live(picture, threshold=0.5)
    assert [box["label"] for box in world.answers[0].boxes or []] == ["disc"]
    assert world.answers[0].probabilities == {"square": 0.0, "disc": 0.9}
    world.live(picture, threshold=0.95)
    assert (world.answers[0].label, world.answers[0].boxes) == ("nothing", [])


def test_an_address_is_no_version_and_a_missing_source_is_one_line(world: LiveWorld, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is an address"):
        module.Live(lambda: world.ledger, lambda: None).live("http://a/", "0", module.LiveOptions(), lambda *_: None)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="is no file, and no camera's number"):
        world.live(tmp_path / "gone")
    with pytest.raises(UnavailableError, match="camera 97: is not there"):
        world.live("97")


def test_nothing_answers_at_an_address_within_its_time() -> None:
    with pytest.raises(UnavailableError) as caught:
        open_source("rtsp://127.0.0.1:9/stream", patience=2)
    assert len(str(caught.value).splitlines()) == 1
    assert cameras.PATIENCE_S == 10


def test_reading_answering_and_drawing_keeps_up_with_a_camera_on_one_core(world: LiveWorld, tmp_path: Path) -> None:
    clip = colour_clip(tmp_path / "camera.mp4", ["red", "green"] * 30, list(range(0, 2000, 1000 // 30))[:60], (640, 480))

    def look() -> None:
        source = open_source(str(clip))
        predictor = FramePredictor(world.bundle, "colours/1 here", lambda answer: answer)
        shown = list[object]()
        loop = Loop(
            source, predictor, Overlay(predictor.labels), Stop(), module.LiveOptions(), drawn=((lambda *at: shown.append(at)),)
        )
        assert loop.run().frames == len(shown) == 60
        source.close()

    assert cpu_seconds(look) < 60 / 30  # measured: 0.3 s
