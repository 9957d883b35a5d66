"""Which of a clip's frames are kept at a rate, by their times alone."""

from __future__ import annotations

_COARSE_S = 0.002
"""A unit of time that is longer is the clip's own frame, as in AVI: its multiples are exact."""
_LONGEST_TOLERANCE = 0.25
"""Of a tick: no more is forgiven, or a frame would count for the next tick that belongs to this one."""
_SPLICE_S = 1.0
"""Times that go back by more are a new recording behind the old one. By less, frames were stored out of order."""


class Ticks:
    """One frame a tick, `fps` ticks a second: the first at or after each; a second without frames has none.

    FFmpeg's `fps=N:round=down` divides time likewise, and repeats a frame where a tick has none; here nothing is repeated.
    `resolution` is how exactly times are stored, in seconds: 30 frames a second are 0, 33, 67, 100 ms in a WebM file, and
    all of them are kept at 30 a second.
    """

    def __init__(self, fps: float, resolution: float = 0.0) -> None:
        self._fps = fps
        rounding = resolution if resolution <= _COARSE_S else 0.0
        self._tolerance = min(rounding * fps, _LONGEST_TOLERANCE) + 1e-9
        self._last = -1

    def wants(self, seconds: float) -> bool:
        """Whether a frame at this time, since the first frame, is kept."""
        tick = int(seconds * self._fps + self._tolerance)
        if tick <= self._last:
            return False
        self._last = tick
        return True


class Clock:
    """A frame's seconds since the first frame, from timestamps as they are stored: missing, equal, or back at zero."""

    def __init__(self, usual_gap: float) -> None:
        self._gap = usual_gap
        self._shift: float | None = None
        self._last = -usual_gap
        self.latest = 0.0
        """The end of the clip so far, without the last frame's own length."""

    def at(self, seconds: float | None) -> float:
        """The time of the next frame, which is stored as `seconds`."""
        if seconds is None:
            now = self._last + self._gap
        else:
            if self._shift is None:
                self._shift = -seconds
            now = seconds + self._shift
            if now < self._last - _SPLICE_S:
                self._shift += self._last + self._gap - now
                now = self._last + self._gap
            now = max(now, 0.0)
        self._last = now
        self.latest = max(self.latest, now)
        return now
