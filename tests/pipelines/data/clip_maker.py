"""Clips of a few frames, made here as phones, browsers and cutting programs make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

WIDTH, HEIGHT = 64, 48


@dataclass(frozen=True)
class Film:
    """How a clip is encoded; `times` are milliseconds of its frames."""

    times: Sequence[int] = range(0, 1000, 40)
    codec: str = "libx264"
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    muxing: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (WIDTH, HEIGHT)
    turned: tuple[float, bool, bool] | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    audio: bool = False
    kind: str | None = None
    unit: Fraction = Fraction(1, 1000)
    """What times are stored in: AVI has a slot for each, so that its clips need the unit of their rate."""


def painted(number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """RGB: a bright quarter at the top left, and a bar that moves."""
    width, height = size
    image = np.full((height, width, 3), 40, np.uint8)
    image[: height // 2, : width // 2] = (220, 60, 30)
    image[height * 3 // 4 :, (number * 7) % width :] = (30, 90, 200)
    return image + np.uint8(number * 5 % 30)


def make_clip(path: Path, film: Film | None = None) -> Path:
    """Write a clip."""
    film = film or Film()
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=film.kind, options=film.muxing) as container:
        container.metadata.update(film.metadata)
        sound = container.add_stream("aac" if path.suffix == ".mp4" else "libopus", rate=48000) if film.audio else None
        if sound is not None:
            sound.layout = "mono"
        stream = container.add_stream(film.codec, rate=25, options=film.options)
        stream.width, stream.height = film.size
        stream.pix_fmt = film.pixels
        stream.codec_context.time_base = film.unit
        if film.turned:
            stream.set_display_rotation(*film.turned)
        if sound is not None:
            _add_sound(container, sound)
        for number, at in enumerate(film.times):
            frame = av.VideoFrame.from_ndarray(painted(number, film.size), format="rgb24").reformat(format=film.pixels)
            frame.pts, frame.time_base = round(at / 1000 / film.unit), film.unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _add_sound(container: av.container.OutputContainer, stream: av.AudioStream) -> None:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 48000, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def make_cover(path: Path) -> Path:
    """Sound with a cover picture, as music has it."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48000)
        sound.layout = "mono"
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(painted(0), format="rgb24").reformat(format="yuvj420p")))
        container.mux(cover.encode(None))
        _add_sound(container, sound)
    return path
