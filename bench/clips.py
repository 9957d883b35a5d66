"""Clips to frames against FFmpeg's own program, on the same clips and cores."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_SHARE = 0.9
"""Of FFmpeg's rate is wanted."""
_TURNS = 3
_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
_OURS = """
import sys
from pathlib import Path
from pipelines.data.clips import open_clips
from pipelines.data.frames import Sampling
out = Path(sys.argv[2])
source = open_clips(Path(sys.argv[1]), Sampling(fps=5, min_change=0), classes=1)
for number, picture in enumerate(source.pictures(lambda *_: None)):
    (out / f"{number:06d}.jpg").write_bytes(picture.content)
"""


class SkippedError(Exception):
    """A row that cannot be measured here, and why."""


def frames_vs_ffmpeg() -> dict[str, Any]:
    """Three 20-second clips of 1080p H.264 at 30 frames and 12 Mbit a second, 5 frames of each second written as JPEG.

    Ours: a process that reads, digests, samples and encodes as `modelyard frames` does. Peer: `ffmpeg -vf fps=5 -q:v 2`, a
    process a clip. Medians of three, alternating; the limit is the peer / 0.9.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        clips = Path(folder) / "clips" / "film"
        clips.mkdir(parents=True)
        for number in range(3):
            source = "testsrc2=size=1920x1080:rate=30:duration=20"
            film = ["-f", "lavfi", "-i", source, "-vf", f"hue=h={number * 90},noise=alls=6:allf=t"]
            coding = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "12M", "-pix_fmt", "yuv420p"]
            _ffmpeg([*film, *coding, clips / f"{number}.mp4"])
        return _compared(clips.parent)


def frames_vs_ffmpeg_real() -> dict[str, Any]:
    """The same with eight copies each of two real clips of 640 x 480 with sound, 23 seconds together."""
    if not _SHARED.is_dir():
        raise SkippedError("../shared/data is not here")
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        clips = Path(folder) / "clips" / "film"
        clips.mkdir(parents=True)
        for number in range(8):
            for name in ("cup.mp4", "box.mp4"):
                shutil.copy(_SHARED / name, clips / f"{number}-{name}")
        return _compared(clips.parent)


def _compared(clips: Path) -> dict[str, Any]:
    spans: dict[str, list[float]] = {"ours": [], "peer": []}
    for turn in range(_TURNS):
        for name, run in _in_turn(turn):
            with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as out:
                began = time.perf_counter()
                run(clips, Path(out))
                spans[name].append(time.perf_counter() - began)
                if not any(Path(out).iterdir()):
                    sys.exit(f"bench: {name} wrote no frames")
    medians = {name: statistics.median(seconds) for name, seconds in spans.items()}
    return {**medians, "limit": medians["peer"] / _SHARE, "unit": "s"}


def _in_turn(turn: int) -> Iterator[tuple[str, Callable[[Path, Path], None]]]:
    both: list[tuple[str, Callable[[Path, Path], None]]] = [("ours", _ours), ("peer", _peer)]
    return iter(both if turn % 2 else both[::-1])


def _ours(clips: Path, out: Path) -> None:
    subprocess.run([sys.executable, "-c", _OURS, str(clips), str(out)], check=True)


def _peer(clips: Path, out: Path) -> None:
    for number, clip in enumerate(sorted(clips.rglob("*.mp4"))):
        _ffmpeg(["-i", clip, "-vf", "fps=5", "-q:v", "2", out / f"{number}-%05d.jpg"])


def _ffmpeg(arguments: list[object]) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        raise SkippedError("ffmpeg is not on the path")
    subprocess.run([program, "-v", "fatal", "-y", *map(str, arguments)], check=True)


def rows() -> dict[str, Callable[[], dict[str, Any]]]:
    """The rows, by name."""
    return {"frames_vs_ffmpeg": frames_vs_ffmpeg, "frames_vs_ffmpeg_real": frames_vs_ffmpeg_real}
