"""Pictures that were taken within moments of each other, by what their files say."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image

_EXIF_IFD, _TAKEN, _WRITTEN = 0x8769, 0x9003, 0x0132
_PAUSE, _SHORTEST, _LONGEST = 2.0, 2.0, 60.0
"""Times the usual step, and seconds: somebody who photographs in series pauses longer between two of them."""
_MOST_AT_ONCE = 0.2
"""A share of pictures of one and the same second beyond which a clock is taken for not set."""
_FEW = 10


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


def clock(seconds: Sequence[float | None]) -> dict[int, float]:
    """The places of pictures whose time is known; of none where the clock was not set, or a program wrote one time to all."""
    known = {position: moment for position, moment in enumerate(seconds) if moment is not None}
    most = max(Counter(int(moment) for moment in known.values()).values(), default=0)
    return {} if most > max(_FEW, _MOST_AT_ONCE * len(known)) else known


def pause_of(seconds: Iterable[float]) -> float:
    """From how many seconds on a pause ends a recording: twice the usual step, between two seconds and a minute."""
    ordered = np.sort(np.asarray(list(seconds), float))
    steps = np.diff(ordered)
    return float(np.clip(_PAUSE * np.median(steps), _SHORTEST, _LONGEST)) if len(steps) else _SHORTEST


def apart_in_words(seconds: float) -> str:
    """The evidence of two pictures that were taken so far apart, in one recording."""
    return f"taken {seconds:.0f} s apart in one series" if seconds >= 1 else "taken within the same second"
