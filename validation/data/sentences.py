"""What a data check says: sentences about the user's data, made of the table and the check's own limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

_MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class CheckedColumn:
    """One expectation: its type as Great Expectations spells it, the column, its limits, and the table it was checked on."""

    kind: str
    column: str
    limits: Mapping[str, Any]
    table: pd.DataFrame

    def limit(self, name: str) -> str:
        """A limit as people write it."""
        return f"{self.limits[name]:g}"

    @property
    def tolerated(self) -> str:
        """The share of frames that may fail, where any may."""
        return f"{1 - self.limits['mostly']:.0%}"

    @property
    def failing(self) -> pd.DataFrame:
        """The rows that fail, by the same limits."""
        values = self.table[self.column]
        if self.kind == "expect_column_values_to_not_be_null":
            return self.table[values.isna()]
        if self.kind == "expect_column_values_to_be_unique":
            return self.table[values.duplicated(keep=False)]
        if "value_set" in self.limits:
            return self.table[~values.isin(self.limits["value_set"])]
        numbers = pd.to_numeric(values, errors="coerce")
        low, high = self.limits.get("min_value"), self.limits.get("max_value")
        below = numbers < (float("-inf") if low is None else low)
        return self.table[below | (numbers > (float("inf") if high is None else high))]


def describe(check: CheckedColumn, *, passed: bool) -> str:
    """The sentence of a check that passed or failed. Raises KeyError for an expectation without one."""
    passing, failing = _SENTENCES[check.column, check.kind]
    return passing(check) if passed else failing(check)


def _frames(check: CheckedColumn, singular: str, plural: str, *, figure: bool = False) -> str:
    """`3 frames are …, such as a.png`; with the column's value of that frame where `figure` asks for it."""
    rows = check.failing
    if rows.empty:  # Great Expectations could not evaluate it
        return f"the check of {check.column} did not complete: see the report"
    name = str(rows["file"].iloc[0])
    example = f"{name} ({float(rows[check.column].iloc[0]):.4g})" if figure else name
    words = f"1 frame {singular}:" if len(rows) == 1 else f"{len(rows)} frames {plural}, such as"
    return f"{words} {example}"


def _share(check: CheckedColumn, words: str) -> str:
    sentence = _frames(check, f"is {words}", f"are {words}", figure=True)
    return f"{sentence}; at most {check.tolerated} of the {len(check.table)} may be"


def _clips(check: CheckedColumn) -> str:
    """Clips in several splits. A clip may be there under two names, so both are named."""
    names = sorted({str(name) for name in check.failing["clip"]})
    words = "clip appears" if len(names) == 1 else "clips appear"
    return f"{len(names)} {words} in more than one split, by name or content: {_listed(names)}"


def _few_clips(check: CheckedColumn) -> str:
    groups = check.failing[["label", "split", check.column]].drop_duplicates()
    counts = [
        f"class {label} has {count} {'clip' if count == 1 else 'clips'} in {split}"
        for label, split, count in groups.itertuples(index=False)
    ]
    return f"{_listed(counts)}; {check.limit('min_value')} are wanted"


def _unknown(check: CheckedColumn, what: str, which: str) -> str:
    values = _listed(sorted({f"'{value}'" for value in check.failing[check.column]}))
    sentence = _frames(check, f"has {what} {values}", f"have {what} {values}")
    return f"{sentence}; the {which} are {_listed(check.limits['value_set'])}"


def _empty_classes(check: CheckedColumn) -> str:
    empty = [str(label) for label in check.limits["value_set"] if label not in set(check.table[check.column])]
    if not empty:
        return _unknown(check, "class", "classes")
    return f"class {empty[0]} has no frames" if len(empty) == 1 else f"classes {_listed(empty)} have no frames"


def _listed(names: Sequence[object]) -> str:
    """Names in a row, the first few where there are many."""
    more = len(names) - _MOST_NAMES
    return ", ".join(str(name) for name in names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


_Sentence = Callable[[CheckedColumn], str]
_BETWEEN, _IN_SET = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"
_SENTENCES: dict[tuple[str, str], tuple[_Sentence, _Sentence]] = {
    ("width", "expect_column_values_to_not_be_null"): (
        lambda _: "every frame can be read as a picture",
        lambda check: _frames(check, "cannot be read as a picture", "cannot be read as pictures"),
    ),
    ("width", _BETWEEN): (
        lambda check: f"every frame is at least {check.limit('min_value')} pixels wide",
        lambda check: _frames(check, *_smaller(check, "wide"), figure=True),
    ),
    ("height", _BETWEEN): (
        lambda check: f"every frame is at least {check.limit('min_value')} pixels high",
        lambda check: _frames(check, *_smaller(check, "high"), figure=True),
    ),
    ("label", _IN_SET): (
        lambda check: f"every frame is of one of the classes {_listed(check.limits['value_set'])}",
        lambda check: _unknown(check, "class", "classes"),
    ),
    ("label", "expect_column_distinct_values_to_equal_set"): (lambda _: "every class has frames", _empty_classes),
    ("split", _IN_SET): (
        lambda check: f"every frame is in one of the splits {_listed(check.limits['value_set'])}",
        lambda check: _unknown(check, "split", "splits"),
    ),
    ("splits_of_clip", _BETWEEN): (lambda _: "no clip appears in more than one split", _clips),
    ("splits_of_frame", _BETWEEN): (
        lambda _: "no picture appears in more than one split",
        lambda check: _frames(check, "has a copy in another split", "have a copy in another split"),
    ),
    ("labels_of_frame", _BETWEEN): (
        lambda _: "no picture has more than one class",
        lambda check: _frames(check, "has a copy of another class", "have a copy of another class"),
    ),
    ("brightness", _BETWEEN): (
        lambda check: f"at most {check.tolerated} of the frames are too dark or too bright ({_range(check)})",
        lambda check: _share(check, f"too dark or too bright ({_range(check)})"),
    ),
    ("sharpness", _BETWEEN): (
        lambda check: f"at most {check.tolerated} of the frames are blurred (sharpness below {check.limit('min_value')})",
        lambda check: _share(check, f"blurred (sharpness below {check.limit('min_value')})"),
    ),
    ("clips_of_class_in_split", _BETWEEN): (
        lambda check: f"every class has at least {check.limit('min_value')} clips in each split that it occurs in",
        _few_clips,
    ),
    ("sha256", "expect_column_values_to_be_unique"): (
        lambda _: "no two frames are identical",
        lambda check: _frames(check, "is identical to another frame", "are identical to another frame"),
    ),
}


def _smaller(check: CheckedColumn, way: str) -> tuple[str, str]:
    words = f"less than {check.limit('min_value')} pixels {way}"
    return f"is {words}", f"are {words}"


def _range(check: CheckedColumn) -> str:
    return f"mean brightness below {check.limit('min_value')} or above {check.limit('max_value')}"
