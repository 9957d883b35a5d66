"""Pictures that were taken within moments of each other, by what their files say."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from PIL import Image

_EXIF_IFD, _TAKEN, _WRITTEN = 0x8769, 0x9003, 0x0132
_MOMENT = 60.0
"""Seconds. People move on after a minute; a burst, or frames of one take, are closer."""
_MOST_AT_ONCE = 0.2
"""A share of pictures of one and the same second beyond which a clock is taken for not set."""
_FEW = 10


@dataclass(frozen=True, slots=True)
class Timed:
    """A picture's split, and when it was taken in seconds; None where nothing says so."""

    split: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Moment:
    """A held-out picture, the one of an earlier split that was taken nearest to it, and the seconds between them."""

    held_out: int
    earlier: int
    seconds: float

    @property
    def text(self) -> str:
        """The evidence in words."""
        return f"taken {self.seconds:.0f} s apart" if self.seconds >= 1 else "taken within the same second"


def taken_at(path: Path, captured: str) -> float | None:
    """When a picture was taken, by the manifest or by its EXIF data; only the file's head is read."""
    stamp = captured or _exif_time(path)
    for shape in ("%Y:%m:%d %H:%M:%S", None):
        with suppress(ValueError, OverflowError, OSError):
            moment = datetime.strptime(stamp, shape) if shape else datetime.fromisoformat(stamp)  # noqa: DTZ007 EXIF has no zone
            return moment.timestamp()
    return None


def _exif_time(path: Path) -> str:
    """The tag's text; of a file that cannot be read, nothing."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            return str(exif.get_ifd(_EXIF_IFD).get(_TAKEN) or exif.get(_WRITTEN) or "").strip("\0 ")
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return ""


def moments(timed: Sequence[Timed], order: Sequence[str]) -> Iterator[Moment]:
    """The held-out pictures that were taken within a minute of one of an earlier split."""
    known = [(picture.seconds, place) for place, picture in enumerate(timed) if picture.seconds is not None]
    at_once = Counter(int(seconds) for seconds, _ in known)
    most = max(at_once.values(), default=0)
    if most > max(_FEW, _MOST_AT_ONCE * len(known)):
        return
    by_split = [sorted(member for member in known if timed[member[1]].split == split) for split in order]
    for rank, members in enumerate(by_split):
        earlier = sorted(member for part in by_split[:rank] for member in part)
        for seconds, place in members if earlier else ():
            at = bisect_left(earlier, (seconds, place))
            apart, nearest = min((abs(other - seconds), other_place) for other, other_place in earlier[max(at - 1, 0) : at + 1])
            if apart <= _MOMENT:
                yield Moment(place, nearest, apart)
