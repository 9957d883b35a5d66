"""Rules about how pictures look: light, blur, sizes. Thresholds were measured, see docs/data-checks.md."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from validation.data.rule import Rule, everywhere, such_as
from validation.data.table import CheckedData
from validation.data.words import counted, name_of, percent

_DARK, _BRIGHT, _BLANK, _SHARP = 64.0, 200.0, 3.0, 0.02
_FEW, _BLURRED = 0.02, 0.1
"""The shares of pictures that may be badly exposed, and blurred."""
_CLIP_SHARE, _CLIP_FRAMES = 0.5, 5
"""From which share on a clip is a blurred one, if it has so many frames."""
_MOST_SIZES, _MOST_SHAPES = 4.0, 2.0


def _figure(name: str) -> Callable[[CheckedData], pd.Series]:
    return lambda data: pd.to_numeric(data.frames[name], errors="coerce").astype(float)


def _says_many(words: str, share: float, remedy: str) -> Callable[[CheckedData, pd.DataFrame], str]:
    """How many are so, the worst clip, and what to do."""

    def sentence(data: CheckedData, rows: pd.DataFrame) -> str:
        clip, in_clip, of_clip = _worst_clip(data, rows)
        text = such_as(rows, f"is {words}", f"are {words}")
        if in_clip > _CLIP_SHARE * of_clip and of_clip >= _CLIP_FRAMES:
            text += f"; {in_clip} of {of_clip} frames of {data.members} {name_of(clip)} are"
        return f"{text}; at most {percent(share)} of the {len(data.frames):,} may be: {remedy}"

    return sentence


def _worst_clip(data: CheckedData, rows: pd.DataFrame) -> tuple[str, int, int]:
    """The clip with the most failing frames, how many of it fail, and how many it has."""
    failing = rows.groupby(["label", "clip"]).size().sort_values(ascending=False, kind="stable")
    label, clip = failing.index.to_list()[0]
    frames = data.frames[(data.frames["clip"] == clip) & (data.frames["label"] == label)]
    shown = clip if str(clip).startswith(str(label)) or not label else f"{label}/{clip}"
    return str(shown), int(failing.iloc[0]), len(frames)


def _blurred(data: CheckedData, outside: pd.Series) -> float:
    """A tenth of all pictures may be blurred, but no clip for the most part."""
    frames = data.frames.assign(outside=outside).groupby(["label", "clip"])["outside"].agg(["mean", "count"])
    clips = frames[(frames["mean"] > _CLIP_SHARE) & (frames["count"] >= _CLIP_FRAMES)]
    return _BLURRED if clips.empty else 0.0


def _says_blurred(data: CheckedData, rows: pd.DataFrame) -> str:
    clip, in_clip, of_clip = _worst_clip(data, rows)
    if in_clip > _CLIP_SHARE * of_clip and of_clip >= _CLIP_FRAMES:
        text = f"{in_clip} of {of_clip} frames of {data.members} {name_of(clip)} are blurred"
        others = len(rows) - in_clip
        text += f", and {others:,} elsewhere" if others else ""
    else:
        text = such_as(rows, "is blurred", "are blurred") + f"; at most {percent(_BLURRED)} of the {len(data.frames):,} may be"
    return f"{text} (sharpness below {_SHARP:g}): film again with more light or a still hand, or leave them out"


def _spread(data: CheckedData) -> tuple[float, float]:
    """By which factor sizes differ, and shapes, from the 5th to the 95th percentile."""
    sides = data.frames[["width", "height"]].apply(pd.to_numeric, errors="coerce").astype(float).clip(lower=1)
    if sides.dropna().empty:
        return 1.0, 1.0
    sizes, shapes = np.sqrt(sides["width"] * sides["height"]), sides["width"] / sides["height"]
    low, high = np.nanpercentile(sizes, (5, 95))
    flat, wide = np.nanpercentile(shapes, (5, 95))
    return float(high / low), float(wide / flat)


def _mixed(data: CheckedData) -> pd.Series:
    sizes, shapes = _spread(data)
    return everywhere(data, max(sizes / _MOST_SIZES, shapes / _MOST_SHAPES))


def _says_mixed(data: CheckedData, _: pd.DataFrame) -> str:
    sizes, shapes = _spread(data)
    parts = [f"sizes differ by a factor of {sizes:.1f} (at most {_MOST_SIZES:g})"] if sizes > _MOST_SIZES else []
    if shapes > _MOST_SHAPES:
        parts.append(f"the ratio of width to height by {shapes:.1f} (at most {_MOST_SHAPES:g})")
    by_width = data.frames.sort_values("width", kind="stable")
    small, large = by_width.iloc[0], by_width.iloc[-1]
    example = f"{name_of(small['file'])} is {small['width']} x {small['height']}"
    example += f", {name_of(large['file'])} is {large['width']} x {large['height']}"
    return f"pictures are very different: {' and '.join(parts)}; {example}: crop or scale them alike"


def _blank(_: CheckedData, rows: pd.DataFrame) -> str:
    text = such_as(rows, "is of a single colour", "are of a single colour")
    return f"{text}: leave them out, or look whether the camera was covered"


RULES = (
    Rule(
        "too-dark",
        _figure("dark"),
        lambda data: f"at most {percent(_FEW)} of the {counted(len(data.frames), 'picture')} are too dark",
        _says_many(f"too dark (99% of it below grey level {_DARK:g})", _FEW, "film again with more light, or leave them out"),
        least=_DARK,
        tolerated=lambda _data, _outside: _FEW,
    ),
    Rule(
        "over-exposed",
        _figure("bright"),
        lambda data: f"at most {percent(_FEW)} of the {counted(len(data.frames), 'picture')} are washed out",
        _says_many(
            f"washed out (95% of it above grey level {_BRIGHT:g})", _FEW, "film again with less light, or leave them out"
        ),
        most=_BRIGHT,
        tolerated=lambda _data, _outside: _FEW,
    ),
    Rule("single-colour", _figure("contrast"), lambda _: "no picture is of a single colour", _blank, least=_BLANK),
    Rule(
        "blur",
        _figure("sharpness"),
        lambda data: f"at most {percent(_BLURRED)} of the pictures, and at most half of a {data.members}, are blurred",
        _says_blurred,
        least=_SHARP,
        tolerated=_blurred,
    ),
    Rule(
        "mixed-sizes",
        _mixed,
        lambda _: "pictures have similar sizes and shapes",
        _says_mixed,
        most=1,
        whole=True,
    ),
)
