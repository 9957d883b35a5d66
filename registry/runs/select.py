"""Choosing among runs and comparing them. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from math import isnan
from typing import Any, NamedTuple

from registry.errors import InputError
from registry.runs.rows import RunRow

Value = float | str

_CONDITION = re.compile(
    r"""\s*(?P<name>`[^`]+`|[^\s=<>!~'"`]+)\s*
    (?P<how><=|>=|!=|=|<|>|~)\s*
    (?P<value>'[^']*'|"[^"]*"|[^\s'"]+)\s*""",
    re.VERBOSE,
)
_AND = re.compile(r"and\s+", re.IGNORECASE)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ATTRIBUTES: dict[str, Callable[[RunRow], str]] = {
    "name": lambda row: row.name,
    "experiment": lambda row: row.experiment,
    "status": lambda row: row.status,
    "user": lambda row: row.tags.get("mlflow.user", ""),
    "run_id": lambda row: row.run_id,
}
_FIELDS: dict[str, Callable[[RunRow], dict[str, Any]]] = {
    "attributes": lambda row: {name: read(row) for name, read in _ATTRIBUTES.items()},
    "metrics": lambda row: row.metrics,
    "params": lambda row: row.params,
    "tags": lambda row: row.tags,
}
_HOW_TO = "write conditions as in: test_top1 > 0.9 and status = FINISHED and arch ~ resnet"


class Condition(NamedTuple):
    """`name how value`. Numbers are compared as numbers, everything else as text; `~` means contains, whatever its case."""

    name: str
    how: str
    value: str

    def holds(self, row: RunRow) -> bool:
        """Whether a run fulfils it. A run that lacks the value fulfils `!=` only."""
        value = value_of(row, self.name)
        if value is None:
            return self.how == "!="
        if self.how == "~":
            return self.value.casefold() in str(value).casefold()
        left, right = _number(value), _number(self.value)
        if self.how in _ORDERS:
            return left is not None and right is not None and _ORDERS[self.how](left, right)
        same = str(value) == self.value or (left is not None and left == right)
        return same is (self.how == "=")


def parse_conditions(text: str) -> list[Condition]:
    """Conditions joined by `and`; none of an empty text. Raises InputError for what cannot be read."""
    conditions, position = list[Condition](), 0
    while text.strip():
        match = _CONDITION.match(text, position)
        if match is None or (match["how"] in _ORDERS and _number(_bare(match["value"])) is None):
            raise _unreadable(text)
        conditions.append(Condition(match["name"].strip("`"), match["how"], _bare(match["value"])))
        if match.end() == len(text):
            break
        joint = _AND.match(text, match.end())
        if joint is None:
            raise _unreadable(text)
        position = joint.end()
    return conditions


def filter_runs(rows: Iterable[RunRow], conditions: Sequence[Condition]) -> list[RunRow]:
    """The runs that fulfil every condition, in their order."""
    return [row for row in rows if all(condition.holds(row) for condition in conditions)]


def value_of(row: RunRow, name: str) -> Value | None:
    """A run's attribute, metric, parameter or tag of that name, looked for in this order; a prefix says which is meant."""
    kind, dot, rest = name.partition(".")
    if dot and kind in _FIELDS:
        return _FIELDS[kind](row).get(rest)
    if name in _ATTRIBUTES:
        return _ATTRIBUTES[name](row)
    return next((held[name] for held in (row.metrics, row.params, row.tags) if name in held), None)


def sort_runs(rows: Iterable[RunRow], by: str, *, ascending: bool = False) -> list[RunRow]:
    """By a metric, parameter, attribute or tag: numbers before texts, and runs that lack it last whichever way."""
    values = [(row, value_of(row, by)) for row in rows]
    numbers = [(number, row) for row, value in values if value is not None and (number := _number(value)) is not None]
    texts = [(str(value), row) for row, value in values if value is not None and _number(value) is None]
    runs = [row for _, row in sorted(numbers, key=lambda pair: pair[0], reverse=not ascending)]
    runs += [row for _, row in sorted(texts, key=lambda pair: pair[0], reverse=not ascending)]
    return runs + [row for row, value in values if value is None]


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Of (cost, quality) pairs, those that no other beats: none is cheaper and as good, or better and as cheap."""
    held = [index for index, (cost, quality) in enumerate(points) if not (isnan(cost) or isnan(quality))]
    held.sort(key=lambda index: points[index][0])
    front, best = [False] * len(points), float("-inf")
    for _, group in groupby(held, key=lambda index: points[index][0]):
        places = list(group)
        most = max(points[index][1] for index in places)
        if most > best or not any(front):
            for index in places:
                front[index] = points[index][1] == most
            best = most
    return front


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """TensorBoard's exponential moving average, corrected for its start. `weight` is from 0 (as measured) to below 1."""
    if not 0 <= weight < 1:
        raise InputError(f"smoothing {weight:g}", "is not from 0 to below 1", "choose 0.6, say")
    smoothed, last, counted = list[float](), 0.0, 1.0
    for value in values:
        last = last * weight + (1 - weight) * value
        counted *= weight
        smoothed.append(last / (1 - counted))
    return smoothed


def differing_params(rows: Sequence[RunRow]) -> dict[str, list[str]]:
    """Parameter → its value in each run, empty where a run has none; only parameters that are not the same in all."""
    names = dict.fromkeys(name for row in rows for name in row.params)
    table = {name: [row.params.get(name, "") for row in rows] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def _number(value: Value) -> float | None:
    """A value as a number that can be compared; None for text and NaN."""
    try:
        number = float(value)
    except ValueError:
        return None
    return None if isnan(number) else number


def _bare(value: str) -> str:
    return value[1:-1] if value[0] in "'\"" else value


def _unreadable(text: str) -> InputError:
    return InputError(f"filter '{text}'", "cannot be read", _HOW_TO)
