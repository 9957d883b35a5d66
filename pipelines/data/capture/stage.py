"""Where a person is told what to film: a window with the picture where there is a display, the terminal elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from cv2.typing import MatLike

from pipelines.data.capture.camera import Camera

_TITLE = "modelyard capture"
_STOP, _GO = {ord("q"), 27}, {ord(" "), 13, 10}
"""Keys: q and Escape; space and Enter."""
_WIDEST = 960


@dataclass(slots=True)
class Terminal:
    """Says what comes next. `ask` waits for a person; without it nobody is waited for."""

    say: Callable[[str], None]
    ask: Callable[[str], None] | None = None
    _last: str = field(default="", init=False)

    def ready(self, text: str, camera: Camera) -> None:
        """Say what comes next, and wait."""
        del camera
        if self.ask:
            self.ask(f"{text}: change something first, then press Enter")
        else:
            self.say(text)

    def show(self, image: MatLike, caption: str) -> None:
        """Say the caption when it is another than before."""
        del image
        if caption != self._last and " in " in caption:  # the countdown; seconds of a take would be a line each
            self.say(caption)
        self._last = caption


@dataclass(slots=True)
class Window:
    """Shows the picture; `waits`: each take begins with a key."""

    say: Callable[[str], None]
    waits: bool = True

    def ready(self, text: str, camera: Camera) -> None:
        """Show what comes next until space or Enter is pressed."""
        self.say(text)
        while self.waits and camera.is_live and self._shown(camera.read().image, f"{text}: press space") not in _GO:
            pass

    def show(self, image: MatLike, caption: str) -> None:
        """Show a picture with a caption."""
        self._shown(image, caption)

    def _shown(self, image: MatLike, caption: str) -> int:
        """Show it on a copy; the key that was pressed meanwhile. Raises KeyboardInterrupt for q and Escape."""
        scale = min(_WIDEST / image.shape[1], 1.0)
        copy = cv2.resize(image, None, fx=scale, fy=scale) if scale < 1 else np.array(image)
        for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            cv2.putText(
                copy, caption.encode("ascii", "replace").decode(), (12, 32), cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, width
            )
        cv2.imshow(_TITLE, copy)
        key = cv2.waitKey(1) & 0xFF
        if key in _STOP:
            raise KeyboardInterrupt
        return key


def has_window(title: str = _TITLE) -> bool:
    """Open a window, and say whether that could be done: a display is there, and OpenCV was built with windows.

    On Linux the display is asked for first: without one, Qt ends the process.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        cv2.namedWindow(title)
    except cv2.error:
        return False
    return True
