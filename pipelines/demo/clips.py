"""The demo's clips: real handwritten digits, filmed by a simulated hand-held camera.

The scans are scikit-learn's copy of the UCI optical digits (1,797 scans, 8 x 8 pixels of 17 grey
levels). Each scan becomes one short clip: paper, pan, zoom, tilt, jitter, exposure drift, blur and noise, all of
them drifting through the clip as they do in a hand. What is real is the handwriting and the video coding; what
is simulated is the camera. A model makes real mistakes on it, because some of the handwriting is bad.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from registry.errors import StorageError
from registry.files import building

Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Film:
    """How much is filmed: `clips` scans per class, `frames` pictures each, square ones of `size` pixels, of some digits."""

    clips: int = 45
    frames: int = 10
    fps: float = 12
    size: int = 128
    seed: int = 7
    digits: tuple[int, ...] = tuple(range(10))


def film_digits(folder: Path, film: Film, progress: Callable[[str, int, int], None]) -> Path:
    """Write `<folder>/<digit>/<scan>.mp4`; the same film gives the same clips."""
    digits = cast("Any", load_digits())  # a Bunch; its stub says it may be a tuple
    total, seen = film.clips * len(film.digits), 0
    with building(folder) as work:
        for label in film.digits:
            (work / str(label)).mkdir()
            scans = np.random.default_rng(film.seed).permutation(np.flatnonzero(digits.target == label))
            for scan in scans[: film.clips]:
                random = np.random.default_rng([film.seed, int(scan)])
                _film(work / str(label) / f"scan{scan:04d}.mp4", digits.images[scan], film, random)
                seen += 1
                progress("filming digits", seen, total)
    return folder


def _film(path: Path, scan: NDArray[np.float64], film: Film, random: np.random.Generator) -> None:
    """Write one scan's clip."""
    size = (film.size, film.size)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), film.fps, size)
    if not writer.isOpened():
        raise StorageError(path, "OpenCV cannot write MPEG-4 here", "install opencv-python with its bundled FFmpeg")
    paper = _paper(scan, random)
    moves = _drift(random, film.frames, spread=np.array([0.11, 0.11, 0.20, 0.18, 0.20, 1.3]))
    shade = _shadow(film.size, random)
    for dx, dy, zoom, tilt, light, focus in moves:
        centre = (paper.shape[1] / 2, paper.shape[0] / 2)
        turn = cv2.getRotationMatrix2D(centre, float(np.degrees(tilt)), float(0.5 * (1 + zoom)))
        turn[:, 2] += np.array([dx, dy]) * film.size + (np.array(size) / 2 - centre)
        seen = cv2.warpAffine(paper, turn, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        seen = cv2.GaussianBlur(seen, (0, 0), 0.8 + abs(float(focus)))
        seen = seen * shade * (1 + light) + random.normal(0, 11, seen.shape)
        writer.write(np.clip(seen, 0, 255).astype(np.uint8))
    writer.release()


def _paper(scan: NDArray[np.float64], random: np.random.Generator) -> Picture:
    """A scan as ink on a sheet, twice the size it is filmed at, BGR 0..255."""
    ink = cv2.resize(scan.astype(np.float32) / 16, (150, 150), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    sheet = np.zeros((256, 256), np.float32)
    sheet[53:203, 53:203] = ink
    paper = random.uniform(150, 245, 3)
    pen = paper * random.uniform(0.1, 0.68) + random.uniform(-25, 25, 3)
    fibre = cv2.GaussianBlur(random.normal(0, 25, sheet.shape).astype(np.float32), (0, 0), 3)[..., None]
    return (paper + fibre + (pen - paper) * sheet[..., None]).astype(np.float32)


def _shadow(size: int, random: np.random.Generator) -> Picture:
    """Light that falls off across the picture, from one side. `[size, size, 1]`, around 0.5 to 1."""
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    angle, depth = random.uniform(0, 2 * np.pi), random.uniform(0, 0.45)
    slope = 1 / (1 + np.exp(-4 * (across * np.cos(angle) + down * np.sin(angle) + random.uniform(-0.5, 0.5))))
    return (1 - depth * slope)[..., None].astype(np.float32)


def _drift(random: np.random.Generator, steps: int, spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """A hand: a starting pose, a slow drift and a little tremor. `[steps, len(spread)]`."""
    start = random.normal(0, 0.6, len(spread))
    slow = np.cumsum(random.normal(0, 0.12, (steps, len(spread))), axis=0)
    tremor = random.normal(0, 0.12, (steps, len(spread)))
    return np.clip(start + slow + tremor, -2, 2) * spread
