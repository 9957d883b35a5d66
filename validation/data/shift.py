"""Whether val and test look like train: in light, colour, sharpness and shape.

For each figure, the share of a split's pictures that lie beyond all that train has, but for the outermost hundredth at each
end. Two parts of one recording session have some; when nearly all of a split lies beyond, it is of another place or went
through another program. A split of one or two clips is not judged: one clip is never like the others. Measured error rates
are in docs/data-checks.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from validation.data.rule import Rule
from validation.data.table import CheckedData
from validation.data.words import percent

_MOST, _LEAST_PICTURES, _LEAST_CLIPS = 0.8, 10, 3
_SIDES = {
    "brightness": ("darker", "brighter", 8.0),
    "contrast": ("flatter", "richer in contrast", 5.0),
    "log_sharpness": ("more blurred", "sharper", 0.3),
    "redness": ("less red", "redder", 4.0),
    "blueness": ("less blue", "bluer", 4.0),
    "saturation": ("paler", "more colourful", 8.0),
    "shape": ("narrower", "wider", 0.1),
}
"""Each figure with what is said of a picture below and above train's range, and by how much it must lie beyond."""
_FRACTION = 0.01


class Shift(NamedTuple):
    """How far a split is from train: the share of its pictures beyond train, in which way, and the medians of both."""

    share: float
    split: str
    way: str
    here: float
    train: float
    figure: str


def _figures(data: CheckedData) -> pd.DataFrame:
    frames = data.frames
    names = [name for name in _SIDES if name in frames]
    table = frames[names].apply(pd.to_numeric, errors="coerce").astype(float)
    sharpness = pd.to_numeric(frames["sharpness"], errors="coerce").astype(float)
    table["log_sharpness"] = np.log10(sharpness.clip(lower=1e-6))
    sizes = frames[["width", "height"]].apply(pd.to_numeric, errors="coerce").astype(float).clip(lower=1)
    table["shape"] = np.log2(sizes["width"] / sizes["height"])
    return table


def shifts(data: CheckedData) -> list[Shift]:
    """For val and test each, the figure in which most of its pictures lie beyond train; the furthest split first."""
    table, split = _figures(data), data.frames["split"]
    train = table[split == "train"]
    if len(train) < _LEAST_PICTURES:
        return []
    worst = list[Shift]()
    for name in ("val", "test"):
        part, clips = table[split == name], data.frames.loc[split == name, "clip"].nunique()
        if len(part) >= _LEAST_PICTURES and clips >= _LEAST_CLIPS:
            worst.append(max(shift for figure in _SIDES for shift in _beyond(name, figure, part[figure], train[figure])))
    return sorted(worst, reverse=True)


def _beyond(split: str, figure: str, part: pd.Series, train: pd.Series) -> list[Shift]:
    """The shares of a split below and above train's range."""
    low, high = train.quantile(_FRACTION), train.quantile(1 - _FRACTION)
    below, above, margin = _SIDES[figure]
    medians = (float(part.median()), float(train.median()), figure)
    return [
        Shift(float((part < low - margin).mean()), split, below, *medians),
        Shift(float((part > high + margin).mean()), split, above, *medians),
    ]


def _measure(data: CheckedData) -> pd.Series:
    by_split = {shift.split: shift.share for shift in shifts(data)}
    return data.frames["split"].map(by_split).astype(float)


def _sentence(data: CheckedData, _: pd.DataFrame) -> str:
    far = next(shift for shift in shifts(data) if shift.share > _MOST)
    return (
        f"{percent(far.share)} of the pictures in {far.split} are {far.way} than train's ({_medians(far)}; at most "
        f"{percent(_MOST)} may be): {data.adding} some such pictures for train, or deal the splits again"
    )


def _medians(far: Shift) -> str:
    """The medians of both, as figures that are known from other sentences."""
    name = {"log_sharpness": "sharpness", "shape": "ratio of width to height"}.get(far.figure, far.figure)
    base = {"log_sharpness": 10.0, "shape": 2.0}.get(far.figure)
    here, train = (base**value if base else value for value in (far.here, far.train))
    return f"median {name} {here:.3g}, in train {train:.3g}"


RULES = (
    Rule(
        "val-far-from-train",
        _measure,
        lambda _: f"at most {percent(_MOST)} of val and of test lie beyond train in light, colour, sharpness and shape",
        _sentence,
        most=_MOST,
        whole=True,
    ),
)
