"""A rule: how one named check is measured, what it allows, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from validation.data.table import CheckedData
from validation.data.words import counted, name_of


@dataclass(frozen=True, slots=True)
class Rule:
    """One check. `measure` gives a figure for each picture, NaN where there is nothing to check.

    `least` and `most` bound it; `tolerated` is the share of pictures that may lie outside. A figure about the whole data set,
    a split or a class (`whole`) stands with each picture that it concerns, and the worst counts. `passing` and `failing` say
    it in a sentence; `failing` is given the rows of `frames` that fail, with their figure in the column `figure`.
    """

    check: str
    measure: Callable[[CheckedData], pd.Series]
    passing: Callable[[CheckedData], str]
    failing: Callable[[CheckedData, pd.DataFrame], str]
    least: float | None = None
    most: float | None = None
    tolerated: Callable[[CheckedData, pd.Series], float] = lambda _data, _outside: 0.0
    whole: bool = False

    def outside(self, figures: pd.Series) -> pd.Series:
        """Which figures lie outside of the limits."""
        below = figures < (float("-inf") if self.least is None else self.least)
        return below | (figures > (float("inf") if self.most is None else self.most))

    @property
    def limit(self) -> float | None:
        """The limit that a figure is compared with."""
        return self.most if self.least is None else self.least


def such_as(rows: pd.DataFrame, singular: str, several: str) -> str:
    """`1 picture is …: a.jpg`, or `3 pictures are …, such as a.jpg`."""
    name = name_of(rows["file"].iloc[0])
    if len(rows) == 1:
        return f"1 picture {singular}: {name}"
    return f"{counted(len(rows), 'picture')} {several}, such as {name}"


def everywhere(data: CheckedData, value: float) -> pd.Series:
    """One figure, with every picture."""
    return pd.Series(value, index=data.frames.index, dtype=float)
