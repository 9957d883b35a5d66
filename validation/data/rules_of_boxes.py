"""Rules about a detector's boxes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from validation.data.rule import Rule, everywhere, such_as
from validation.data.table import CheckedData
from validation.data.words import counted, name_of, percent

_MARGIN = 0.002
"""By how much of a picture a box may reach over its edge: rounding in annotation files."""
_SMALLEST_PIXELS, _SMALLEST_AREA, _FEW_TINY = 8, 0.001, 0.1
_SAME = 0.9
"""From which intersection over union on two boxes are of one object."""
_MOST_WITHOUT = 0.5
_SIDES = ["left", "top", "right", "bottom"]


def _per_frame(data: CheckedData, flags: pd.Series) -> pd.Series:
    """How many boxes of each picture are flagged."""
    counts = flags.astype(float).groupby(data.boxes["frame"]).sum()
    return counts.reindex(data.frames.index, fill_value=0.0)


def _sides(data: CheckedData) -> pd.DataFrame:
    return data.boxes[_SIDES].apply(pd.to_numeric, errors="coerce").astype(float)


def _outside(data: CheckedData) -> pd.Series:
    sides = _sides(data)
    return ((sides < -_MARGIN) | (sides > 1 + _MARGIN)).any(axis=1)


def _flat(data: CheckedData) -> pd.Series:
    sides = _sides(data)
    return ~((sides["right"] > sides["left"]) & (sides["bottom"] > sides["top"]))


def _tiny(data: CheckedData) -> pd.Series:
    """Boxes that are hardly anything at the network's input size."""
    frames = data.frames.loc[data.boxes["frame"], ["width", "height"]].astype(float).reset_index(drop=True)
    sides, scale = _sides(data), data.input_side / frames.max(axis=1).clip(lower=1)
    width, height = sides["right"] - sides["left"], sides["bottom"] - sides["top"]
    shorter = pd.concat([width * frames["width"], height * frames["height"]], axis=1).min(axis=1) * scale
    return ((shorter < _SMALLEST_PIXELS) | (width * height < _SMALLEST_AREA)) & ~_flat(data)


def _doubled(data: CheckedData) -> pd.Series:
    """Boxes that cover what an earlier box of the picture covers, whatever its class."""
    flags, sides = np.zeros(len(data.boxes), bool), _sides(data).to_numpy()
    for rows in data.boxes.groupby("frame").indices.values():
        overlaps = np.triu(_overlaps(sides[rows]), 1)
        flags[rows] = (overlaps > _SAME).any(axis=0)
    return pd.Series(flags, index=data.boxes.index)


def _overlaps(sides: np.ndarray) -> np.ndarray:
    """Intersection over union of each pair, NxN."""
    corner, opposite = np.maximum(sides[:, None, :2], sides[None, :, :2]), np.minimum(sides[:, None, 2:], sides[None, :, 2:])
    shared = np.clip(opposite - corner, 0, None).prod(axis=2)
    areas = np.clip(sides[:, 2:] - sides[:, :2], 0, None).prod(axis=1)
    return np.nan_to_num(shared / np.maximum(areas[:, None] + areas[None, :] - shared, 1e-12))


def _example(data: CheckedData, flags: pd.Series) -> str:
    """`cup in a.jpg (left 0.1, top 0.2, right 1.2, bottom 0.5)`: the first flagged box."""
    box = data.boxes[flags].iloc[0]
    sides = ", ".join(f"{name} {_number(box[name])}" for name in _SIDES)
    file = data.frames.loc[box["frame"], "file"]
    return f"{name_of(box['label'])} in {name_of(file)} ({sides})"


def _number(value: object) -> str:
    """A side as a sentence shows it; annotation files have had all sorts of things there."""
    number = pd.to_numeric(pd.Series([value]), errors="coerce").iloc[0]
    return "missing" if pd.isna(number) else f"{number:.3g}"


def _says_outside(data: CheckedData, _: pd.DataFrame) -> str:
    flags = _outside(data)
    count = counted(int(flags.sum()), "box")
    verb = "lies" if count.startswith("1 ") else "lie"
    return f"{count} {verb} outside of the picture, such as {_example(data, flags)}: correct the annotation"


def _says_flat(data: CheckedData, _: pd.DataFrame) -> str:
    flags = _flat(data)
    count = counted(int(flags.sum()), "box")
    verb = "has" if count.startswith("1 ") else "have"
    return f"{count} {verb} no area, such as {_example(data, flags)}: correct or remove the annotation"


def _says_doubled(data: CheckedData, _: pd.DataFrame) -> str:
    flags = _doubled(data)
    count = counted(int(flags.sum()), "box")
    verb = "covers" if count.startswith("1 ") else "cover"
    return f"{count} {verb} the same object as another, such as {_example(data, flags)}: keep one box an object"


def _tiny_share(data: CheckedData) -> pd.Series:
    return everywhere(data, float(_tiny(data).mean()) if len(data.boxes) else 0.0)


def _says_tiny(data: CheckedData, _: pd.DataFrame) -> str:
    flags = _tiny(data)
    share = f"{int(flags.sum()):,} of {counted(len(flags), 'box')} are tiny"
    limit = f"below {_SMALLEST_PIXELS} pixels at {data.input_side}, or below {_SMALLEST_AREA:.1%} of the picture"
    remedy = "film nearer, cut the pictures into parts, or train at a larger size"
    return f"{share} ({limit}; at most {_FEW_TINY:.0%} may be), such as {_example(data, flags)}: {remedy}"


def _share_without(data: CheckedData) -> float:
    return 1 - len(set(data.boxes["frame"])) / max(len(data.frames), 1)


def _says_without(data: CheckedData, _: pd.DataFrame) -> str:
    without = data.frames[~data.frames.index.isin(data.boxes["frame"])]
    text = such_as(without, "has no box", "have no boxes")
    share = percent(len(without) / len(data.frames))
    return f"{text} ({share}; at most {_MOST_WITHOUT:.0%} may have none): label what is in them, or leave some out"


RULES = (
    Rule(
        "boxes-outside",
        lambda data: _per_frame(data, _outside(data)),
        lambda _: "every box lies in its picture",
        _says_outside,
        most=0,
    ),
    Rule("boxes-zero-area", lambda data: _per_frame(data, _flat(data)), lambda _: "every box has an area", _says_flat, most=0),
    Rule(
        "tiny-objects",
        _tiny_share,
        lambda _: f"at most {_FEW_TINY:.0%} of the boxes are tiny",
        _says_tiny,
        most=_FEW_TINY,
        whole=True,
    ),
    Rule(
        "duplicate-boxes",
        lambda data: _per_frame(data, _doubled(data)),
        lambda _: "no object has two boxes",
        _says_doubled,
        most=0,
    ),
    Rule(
        "without-boxes",
        lambda data: everywhere(data, _share_without(data)),
        lambda _: f"at most {_MOST_WITHOUT:.0%} of the pictures have no boxes",
        _says_without,
        most=_MOST_WITHOUT,
        whole=True,
    ),
)
