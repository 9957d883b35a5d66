"""A decoded frame as a picture: its colours, upright, and what it looks like in small."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Interpolation
from cv2.typing import MatLike
from numpy.typing import NDArray

THUMBNAIL = (16, 16)
_LUMA_FIRST = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "yuva420p", "gray"}
"""Pixel formats whose first plane is brightness, a byte a pixel."""
_FULL_RANGE = {"yuvj420p", "yuvj422p", "yuvj444p", "gray"}
_LIMITED = np.float32(255 / 219)
"""What limited-range brightness (16 to 235) is multiplied by to be grey levels."""
_ROWS = 256
"""A thumbnail is made of about so many rows and columns; a large picture has more than it needs."""

Turn = Callable[[MatLike], MatLike]


def bgr(frame: VideoFrame) -> MatLike:
    """The frame upright, BGR uint8 `[height, width, 3]`, by the colour matrix and range that the clip names.

    A clip that names none is BT.601 of limited range, as for FFmpeg's and OpenCV's readers. Interlaced fields stay woven,
    transparency is dropped, and pixels that are not square stay as stored.
    """
    converted = frame.reformat(format="bgr24", interpolation=int(Interpolation.BICUBIC), threads=1)
    return upright(frame)(converted.to_ndarray())


def thumbnail(frame: VideoFrame) -> NDArray[np.float32]:
    """A small picture of the brightness alone, in grey levels, to measure change by; no other pixel is converted."""
    if frame.format.name not in _LUMA_FIRST:
        small = frame.reformat(*THUMBNAIL, format="gray", interpolation=int(Interpolation.AREA))
        return small.to_ndarray().astype(np.float32)
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    pixels = rows[: frame.height : max(frame.height // _ROWS, 1), : frame.width : max(frame.width // _ROWS, 1)]
    small = cv2.resize(pixels, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
    is_full = frame.format.name in _FULL_RANGE or frame.color_range == ColorRange.JPEG
    return small if is_full else (small - 16) * _LIMITED


def upright(frame: VideoFrame) -> Turn:
    """What turns the stored picture as the clip's display matrix says, mirroring included; to the nearest quarter."""
    matrix = display_matrix(frame)
    if matrix is None:
        return lambda image: image
    right_x, right_y, down_x, down_y = matrix
    is_turned = abs(right_y) > abs(right_x)
    flips = (down_x < 0, right_y < 0) if is_turned else (right_x < 0, down_y < 0)

    def turn(image: MatLike) -> MatLike:
        turned = image.transpose(1, 0, 2) if is_turned else image
        turned = turned[:, ::-1] if flips[0] else turned
        return np.ascontiguousarray(turned[::-1] if flips[1] else turned)

    return turn


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    """Where the display matrix sends a step to the right (x, y), and a step down (x, y); None without one."""
    side_data: Any = frame.side_data  # its stub names only what is a class of its own
    try:
        raw = bytes(side_data["DISPLAYMATRIX"])
    except KeyError:
        return None
    across, over, _, down, under, *_ = struct.unpack("=9i", raw)
    return across, over, down, under
