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
    r"""\s*(?:(?P<kind>[A-Za-z]+)\.(?=[^\s=<>!~]))?
    (?:`(?P<tick>[^`]+)`|"(?P<quoted>[^"]+)"|(?P<bare>[^\s=<>!~'"`]+))
    (?:\s*(?P<how><=|>=|!=|=|<|>|~)\s*|\s+(?P<word>like|ilike|in|not\s+in)\b\s*)
    (?P<value>'[^']*'|"[^"]*"|\([^()]*\)|[^\s'"()]+)\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_BOOKKEEPING = ("digest", "sha256", "path", "commit", "dataset")
_AND = re.compile(r"and\s+", re.IGNORECASE)
_LISTED = re.compile(r"""\s*('[^']*'|"[^"]*"|[^\s'",]+)\s*(?:,|$)""")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ATTRIBUTES: dict[str, Callable[[RunRow], Value]] = {
    "name": lambda row: row.name,
    "run_name": lambda row: row.name,
    "experiment": lambda row: row.experiment,
    "status": lambda row: row.status,
    "user": lambda row: row.tags.get("mlflow.user", ""),
    "run_id": lambda row: row.run_id,
    "start_time": lambda row: row.started_ms,
    "end_time": lambda row: row.ended_ms or 0,
}
_FIELDS: dict[str, Callable[[RunRow], dict[str, Any]]] = {
    "attributes": lambda row: {name: read(row) for name, read in _ATTRIBUTES.items()},
    "metrics": lambda row: row.metrics,
    "params": lambda row: row.params,
    "tags": lambda row: row.tags,
}
_KINDS = {kind: kind for kind in _FIELDS} | {
    **dict.fromkeys(("metric",), "metrics"),
    **dict.fromkeys(("param", "parameter", "parameters"), "params"),
    **dict.fromkeys(("tag",), "tags"),
    **dict.fromkeys(("attribute", "attr", "run"), "attributes"),
}
"""The prefixes that MLflow's own search accepts."""
_HOW_TO = "write conditions as in: test_top1 > 0.9 and status = FINISHED and arch ~ resnet and params.`batch size` = 32"


class Condition(NamedTuple):
    """`name how value`. Numbers are compared as numbers, everything else as text; `~` means contains, whatever its case.

    `kind` says among what the name is looked for; without it, among all.
    """

    name: str
    how: str
    value: str
    kind: str = ""

    def holds(self, row: RunRow) -> bool:
        """Whether a run fulfils it. A run that lacks the value fulfils `!=` and `not in` only."""
        value = _FIELDS[self.kind](row).get(self.name) if self.kind else value_of(row, self.name)
        if value is None:
            return self.how in {"!=", "not in"}
        if self.how == "~":
            return self.value.casefold() in str(value).casefold()
        if self.how in {"like", "ilike"}:
            return _like(self.value, str(value), re.IGNORECASE if self.how == "ilike" else re.NOFLAG)
        if self.how in {"in", "not in"}:
            return any(_equal(value, listed) for listed in _listed(self.value)) is (self.how == "in")
        left, right = _number(value), _number(self.value)
        if self.how in _ORDERS:
            return left is not None and right is not None and _ORDERS[self.how](left, right)
        return _equal(value, self.value) is (self.how == "=")


def parse_conditions(text: str) -> list[Condition]:
    """Conditions joined by `and`; none of an empty text. Raises InputError for what cannot be read.

    MLflow's own spelling of names is read too: ``metrics.`a b` ``, `params."a b"`, and its `LIKE`, `ILIKE` and `IN`.
    """
    conditions, position = list[Condition](), 0
    while text.strip():
        match = _CONDITION.match(text, position)
        if match is None:
            raise _unreadable(text)
        conditions.append(_condition(text, match))
        if match.end() == len(text):
            break
        joint = _AND.match(text, match.end())
        if joint is None:
            raise _unreadable(text)
        position = joint.end()
    return conditions


def _condition(text: str, match: re.Match[str]) -> Condition:
    how = match["how"] or " ".join(match["word"].lower().split())
    value, prefix = match["value"], match["kind"] or ""
    kind, quoted = _KINDS.get(prefix.lower(), ""), match["tick"] or match["quoted"]
    in_list = value.startswith("(")
    if (how in _ORDERS and _number(_bare(value)) is None) or in_list is not (how in {"in", "not in"}):
        raise _unreadable(text)
    if in_list:
        value = value[1:-1].strip()
        if not value or _LISTED.sub("", value):
            raise _unreadable(text)
    if prefix and not kind and quoted:
        raise _unreadable(text)
    name = quoted or (f"{prefix}.{match['bare']}" if prefix and not kind else match["bare"])
    return Condition(name, how, value if in_list else _bare(value), kind)


def filter_runs(rows: Iterable[RunRow], conditions: Sequence[Condition]) -> list[RunRow]:
    """The runs that fulfil every condition, in their order."""
    return [row for row in rows if all(condition.holds(row) for condition in conditions)]


def value_of(row: RunRow, name: str) -> Value | None:
    """A run's attribute, metric, parameter or tag of that name, looked for in this order; a prefix says which is meant."""
    prefix, dot, rest = name.partition(".")
    if dot and (kind := _KINDS.get(prefix)):
        fields = _FIELDS[kind](row)
        value = fields.get(rest, fields.get(_unquoted(rest)))
        if value is not None:
            return value
    if name in _ATTRIBUTES:
        return _ATTRIBUTES[name](row)
    return next(
        (held[key] for held in (row.metrics, row.params, row.tags) for key in (name, _unquoted(name)) if key in held), None
    )


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


def is_bookkeeping(name: str) -> bool:
    """Whether a parameter says what a run was given, by digests and paths that differ each time, and not how it trained."""
    return any(word in name.lower() for word in _BOOKKEEPING)


def _number(value: Value) -> float | None:
    """A value as a number that can be compared; None for text and NaN."""
    try:
        number = float(value)
    except ValueError:
        return None
    return None if isnan(number) else number


def _equal(value: Value, text: str) -> bool:
    left = _number(value)
    return str(value) == text or (left is not None and left == _number(text))


def _like(pattern: str, value: str, flags: re.RegexFlag) -> bool:
    """SQL's pattern: `%` stands for any text, `_` for one character."""
    parts = (".*" if letter == "%" else "." if letter == "_" else re.escape(letter) for letter in pattern)
    return re.fullmatch("".join(parts), value, flags | re.DOTALL) is not None


def _listed(text: str) -> list[str]:
    return [_bare(match[1]) for match in _LISTED.finditer(text)]


def _bare(value: str) -> str:
    return value[1:-1] if value[0] in "'\"" else value


def _unquoted(name: str) -> str:
    """A name without MLflow's quotes."""
    quoted = len(name) > 2 and name[0] == name[-1] and name[0] in '`"'  # noqa: PLR2004 two quotes and something between
    return name[1:-1] if quoted else name


def _unreadable(text: str) -> InputError:
    return InputError(f"filter '{text}'", "cannot be read", _HOW_TO)
