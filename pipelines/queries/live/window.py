"""A window with the frames and their answers."""

from __future__ import annotations

import time

import cv2
import numpy as np
from PIL import Image

from pipelines.data.capture.stage import has_window
from pipelines.queries.live.stop import Stop
from registry.errors import UnavailableError

_TITLE = "modelyard live"
_STOP = {ord("q"), 27}
"""Keys: q and Escape."""
_GLANCE_S = 0.05


class Window:
    """Shows frames; q, Escape and closing it ask to stop."""

    def __init__(self) -> None:
        """Open it. Raises UnavailableError where there is no display."""
        if not has_window(_TITLE):
            why = "cannot be opened: there is no display, or OpenCV was built without windows"
            raise UnavailableError("a window", why, "add --out FILE.mp4 for a video, or --json for answers")
        self._began: float | None = None

    def show(self, picture: Image.Image, stop: Stop, due: float | None) -> None:
        """Show an RGB picture until `due`, in seconds since the first; None is at once."""
        cv2.imshow(_TITLE, cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR))
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        until = now if due is None else self._began + due
        self._wait(stop, until - now)
        while (left := until - time.monotonic()) > 0 and not stop.requested:
            self._wait(stop, left)

    def hold(self, stop: Stop) -> None:
        """Leave the last picture there until somebody asks to stop."""
        while not stop.requested:
            self._wait(stop, _GLANCE_S)

    def close(self) -> None:
        """Close it."""
        cv2.destroyWindow(_TITLE)

    def _wait(self, stop: Stop, seconds: float) -> None:
        """Let it be drawn, and look whether a key was pressed, for a millisecond at least."""
        key = cv2.waitKey(max(int(min(seconds, _GLANCE_S) * 1000), 1)) & 0xFF
        if key in _STOP or cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
            stop.request()
