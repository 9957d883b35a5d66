"""`modelyard live` on the command line: lines for machines, a sentence for people, exit codes, and a window."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "queries"))
from home_world import Run, copy_of
from live_world import COLOURS, colour_clip, lines_of, times_of

Live = Callable[..., tuple[int, str, str]]
_NO_DISPLAY = ("DISPLAY", "WAYLAND_DISPLAY")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return colour_clip(tmp_path / "clip.mp4", [*COLOURS, "red"], [0, 40, 80, 120])


@pytest.fixture
def live(whole: Path, tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Live:
    """Looks with the version of a whole home, without a display: exit code, and what was printed where."""
    home = copy_of(whole, tmp_path)
    for name in _NO_DISPLAY:
        monkeypatch.delenv(name, raising=False)

    def command(*words: object) -> tuple[int, str, str]:
        from pipelines.cli.app import run as run_command

        with pytest.raises(SystemExit) as left:
            run_command(["live", "hand/1", *map(str, words), "--home", str(home)])
        out = capfd.readouterr()
        return int(left.value.code or 0), out.out, out.err

    run(home, ("status",))  # the registry in memory
    capfd.readouterr()
    return command


def test_machines_get_a_line_a_frame_and_a_summary(live: Live, clip: Path) -> None:
    code, out, err = live("--source", clip, "--json")
    *frames, last = lines_of(out)
    assert (code, err) == (0, "")
    assert [(frame["frame"], frame["seconds"], frame["label"]) for frame in frames] == [
        (0, 0.0, "red"), (1, 0.04, "green"), (2, 0.08, "blue"), (3, 0.12, "red"),
    ]  # fmt: skip
    expected = {"frame", "seconds", "label", "probability", "probabilities", "could_be", "boxes", "unsure", "latency_ms"}
    assert all(set(frame) == expected for frame in frames)
    assert sum(frames[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    summary = last["summary"]
    assert (summary["model"], summary["frames"], summary["source"], summary["out"]) == ("hand/1", 4, str(clip), None)


def test_people_get_a_video_progress_and_a_sentence(live: Live, clip: Path, tmp_path: Path) -> None:
    code, out, err = live("--source", clip, "--out", tmp_path / "seen.mp4", "--frames", "3")
    assert code == 0
    assert out.startswith(f"hand/1 answered 3 frames of {clip} (--frames): ")
    assert "· frames: 3 of 3" in err
    assert times_of(tmp_path / "seen.mp4") == pytest.approx([0, 0.04, 0.08])
    code, _, err = live("--source", clip, "--out", tmp_path / "seen.mp4")
    assert (code, "exists already; name another file, or add --force" in err) == (2, True)
    assert live("--source", clip, "--out", tmp_path / "seen.mp4", "--force")[0] == 0
    assert len(times_of(tmp_path / "seen.mp4")) == 4


def test_without_a_display_one_line_says_what_to_do(live: Live, clip: Path) -> None:
    code, out, err = live("--source", clip)
    assert (code, out) == (2, "")
    assert err.startswith("modelyard: a window: cannot be opened: there is no display")
    assert "add --out FILE.mp4 for a video, or --json" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "expectation"),
    [
        (("--source", "ftp://a/b"), "is no camera's address"),
        (("--source", "gone.mp4"), "there is no such clip"),
        (("--source", "97"), "is not there, or another program uses it"),
        (("--out", "seen.gif"), "is no video's name"),
        (("--threshold", "2"), "less than or equal to 1"),
        (("--frames", "0"), "greater than or equal to 1"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(live: Live, words: tuple[str, ...], expectation: str) -> None:
    code, out, err = live(*words, "--json")
    assert (code, len(err.splitlines()), "Traceback" in err) == (2, 1, False)
    assert expectation in err
    assert next(iter(json.loads(out))) == "error"


def test_a_video_that_is_cut_short_is_answered_then_said(live: Live, tmp_path: Path) -> None:
    whole = colour_clip(tmp_path / "whole.mkv", ["red", "green"] * 50, list(range(0, 4000, 40)))
    (cut := tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    code, out, err = live("--source", cut, "--json")
    *frames, summary, error = lines_of(out)
    assert code == 2
    assert summary["summary"]["frames"] == len(frames) > 10
    assert f"after {len(frames)} frames" in error["error"]
    assert len(err.splitlines()) == 1


class Screen:
    """OpenCV's windows, without a screen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, key_at: int | None = None, closed_at: int | None = None) -> None:
        self.shown, self.key_at, self.closed_at = list[np.ndarray](), key_at, closed_at
        monkeypatch.setenv("DISPLAY", ":99")
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "destroyWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "imshow", lambda _, image: self.shown.append(image))
        monkeypatch.setattr(cv2, "waitKey", lambda _: ord("q") if len(self.shown) == self.key_at else -1)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 0.0 if len(self.shown) == self.closed_at else 1.0)


@pytest.mark.parametrize("ending", [{"key_at": 3}, {"closed_at": 3}])
def test_a_window_shows_each_frame_until_q_or_its_end(
    live: Live, clip: Path, monkeypatch: pytest.MonkeyPatch, ending: dict[str, int]
) -> None:
    screen = Screen(monkeypatch, **ending)
    code, out, err = live("--source", clip)
    assert (code, len(screen.shown), err) == (0, 3, "")
    assert "(stopped)" in out
    assert [int(image[60, 150].argmax()) for image in screen.shown] == [2, 1, 0]  # BGR of red, green, blue


def test_a_file_in_a_window_is_shown_at_its_own_pace_and_a_picture_stays(
    live: Live, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen(monkeypatch)
    assert live("--source", clip, "--window", "--json")[0] == 0
    assert len(screen.shown) == 4
    code, out, _ = live("--source", clip, "--window", "--json")
    assert lines_of(out)[-1]["summary"]["per_second"] < 45  # four frames of 40 ms; thousands without the pace
    Image.new("RGB", (64, 48), "red").save(tmp_path / "p.png")
    screen.shown.clear()
    waits = iter(range(5))
    monkeypatch.setattr(cv2, "waitKey", lambda _: -1 if next(waits, None) is not None else 27)
    code, out, _ = live("--source", tmp_path / "p.png")
    assert (code, len(screen.shown), next(waits, None)) == (0, 1, None)


PROCESS = """
import sys
from pathlib import Path
from types import SimpleNamespace
from pipelines.home import Home
from registry.memory import MemoryLedger
from pipelines.queries.live import live
from serving.bundle.bundle import open_bundle
bundle = open_bundle(Path(sys.argv[1]))
live.last_bundle = lambda *_: (SimpleNamespace(ref="hand/1"), bundle)
Home.ledger, Home.store = lambda _: MemoryLedger(), lambda _: None
from pipelines.cli.app import run
run(sys.argv[2:])
"""


def started(bundle: Path, *words: object) -> subprocess.Popen[str]:
    """`modelyard live` as a process of its own, with a registry in memory."""
    command = [sys.executable, "-c", PROCESS, str(bundle), "live", "hand/1", *map(str, words)]
    root = Path(__file__).parents[3]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_its_middle_it_exits_with_0_and_its_video_is_whole(
    whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    clip = colour_clip(tmp_path / "long.mp4", ["red", "green"] * 3000, list(range(0, 240_000, 40)))
    process = started(next((whole / "bundles/hand").iterdir()), "--source", clip, "--out", tmp_path / "seen.mp4", "--json")
    assert process.stdout
    head = [process.stdout.readline() for _ in range(20)]
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    summary = json.loads(out.splitlines()[-1])["summary"]
    assert (process.returncode, err, summary["ended"]) == (0, "", "stopped")
    assert 20 <= summary["frames"] < 6000
    assert len(head) + len(out.splitlines()) - 1 == summary["frames"] == len(times_of(tmp_path / "seen.mp4"))


def test_when_nobody_reads_its_lines_any_more_it_ends_quietly_with_a_whole_video(whole: Path, tmp_path: Path) -> None:
    clip = colour_clip(tmp_path / "long.mp4", ["red", "green"] * 3000, list(range(0, 240_000, 40)))
    process = started(next((whole / "bundles/hand").iterdir()), "--source", clip, "--out", tmp_path / "seen.mp4", "--json")
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
    assert 1 <= len(times_of(tmp_path / "seen.mp4")) < 6000
