"""What is measured of one picture: decoded once, at a reduced scale, so that ten thousand take a minute.

All figures are those of the picture scaled to 256 pixels on its longer side (never up), so that they mean the same for a
webcam's and a phone's pictures. Thresholds for them stand in `rules_of_pictures`.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 256
"""Pixels of the longer side at which everything is measured."""
THUMBNAIL = 8
FIGURES = ("dark", "bright", "contrast", "sharpness", "brightness", "redness", "blueness", "saturation")
"""dark: grey level of the 99th percentile; bright: of the 5th; contrast: standard deviation of grey levels; sharpness:
variance of the Laplacian over that of the grey levels; brightness: mean grey level; redness and blueness: mean red and blue
above the mean green; saturation: mean, 0 to 255."""


def measure_picture(path: Path, width: int, height: int) -> dict[str, object]:
    """The figures of a picture of this size, and a thumbnail (bytes of 8x8 BGR); None each where it cannot be decoded."""
    picture = _read(path, max(width, height))
    if picture is None:
        return {**dict.fromkeys(FIGURES), "thumbnail": None}
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    dark, bright = np.percentile(grey, (99, 5))
    contrast, saturation = float(grey.std()), float(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)[..., 1].mean())
    edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_64F))[1].item()
    blue, green, red, _ = cv2.mean(picture)  # NumPy takes as long for this as the decoder for the picture
    thumbnail = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return {
        "dark": float(dark),
        "bright": float(bright),
        "contrast": contrast,
        # A picture of one colour has nothing to be sharp: `single-colour` is about that.
        "sharpness": edges**2 / contrast**2 if contrast > 1 else math.nan,
        "brightness": float(grey.mean()),
        "redness": red - green,
        "blueness": blue - green,
        "saturation": saturation,
        "thumbnail": thumbnail.tobytes(),
    }


def _read(path: Path, longer: int) -> NDArray[np.uint8] | None:
    """The picture, its longer side at most 256 pixels; None where it cannot be decoded."""
    flags = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
    factor = next((factor for factor in flags if longer // factor >= SIDE), 1)
    try:
        content = np.fromfile(path, np.uint8)
        picture = cv2.imdecode(content, flags.get(factor, cv2.IMREAD_COLOR)) if len(content) else None
    except (cv2.error, OSError):
        return None
    if picture is None:
        return None
    scale = SIDE / max(picture.shape[:2])
    if scale < 1:
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return picture.astype(np.uint8, copy=False)
