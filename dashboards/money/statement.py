"""A month's statement, without Streamlit: every amount with its day, its subject and what it rests on, and their sum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import NamedTuple

import pandas as pd

from dashboards.files import document, table
from dashboards.money.spending import budgets
from registry.amounts import format_usd
from registry.money.books import Spend
from registry.protocols import Entry
from registry.reports.accounts import spending
from registry.reports.costs import check_month

_ZERO = Decimal(0)
_LEAST = 0.01
_BASES = {
    "measured": "measured seconds at the price of that day",
    "quoted": "the quote for the time that it stood",
    "billed": "the provider's bill",
}


class Line(NamedTuple):
    """One amount: training and bills by their moment, serving by the day."""

    day: str
    model: str
    version: str
    what: str
    resource: str
    provider: str
    person: str
    basis: str
    usd: Decimal


class Statement(NamedTuple):
    """A month, as of a moment. `budget` is model → what this month allowed, where that is known."""

    month: str
    at: datetime
    lines: list[Line]
    budget: dict[str, Decimal]

    @property
    def usd(self) -> Decimal:
        """All of it."""
        return sum((line.usd for line in self.lines), _ZERO)


def statement(entries: Sequence[Entry], month: str, now: datetime) -> Statement:
    """A month (as 2026-11) up to now. Raises InputError for what is no month."""
    check_month(month)
    spent = [spend for spend in spending(entries, now, month) if spend.month == month]
    limits = budgets(entries, now, spent) if month == f"{now:%Y-%m}" else {}
    return Statement(month, now, list(map(_line, spent)), {model: budget.limit for model, budget in limits.items()})


def _line(spend: Spend) -> Line:
    version = str(spend.version or "")
    subject = (spend.model or "(none)", version, spend.what, spend.resource, spend.provider, spend.person)
    return Line(f"{spend.at:%Y-%m-%d}", *subject, spend.basis, spend.usd)


def lines_table(given: Statement) -> pd.DataFrame:
    """The lines, for CSV: amounts in US dollars, with all their digits."""
    return pd.DataFrame([(*line[:-1], f"{line.usd:f}") for line in given.lines], columns=Line._fields)


def statement_html(given: Statement) -> str:
    """A page of its own that prints well. Every name is escaped; nothing is loaded from anywhere."""
    title = f"Statement of costs, {given.month}"
    sums = _sums(given.lines)
    by_model = table(
        ("Model", "Budget", "Training", "Serving", "Other", "Total"),
        [(model, _budget(given, model), *map(_amount, amounts), _amount(sum(amounts, _ZERO))) for model, amounts in sums],
        5,
        ("Total", "", *(_amount(sum((amounts[at] for _, amounts in sums), _ZERO)) for at in range(3)), _amount(given.usd)),
    )
    heads = ("Day", "Model", "Version", "What", "Resource", "Provider", "Person", "Rests on", "USD")
    shown = [(*line[:-1], _amount(line.usd)) for line in given.lines]
    lines = table(heads, shown, 1, ("Total", *[""] * 7, _amount(given.usd)))
    bases = "".join(f"<li><b>{name}</b>: {escape(words)}</li>" for name, words in _BASES.items())
    return document(
        title,
        f'<h1>{escape(title)}</h1><p class="quiet">As of {given.at:%Y-%m-%d %H:%M} UTC. Days are in UTC. '
        "Amounts are US dollars, each rounded by itself; totals are of the exact amounts, which the CSV has.</p>"
        f"<p>{escape(sentence(given.month, given.lines))}</p><h2>By model</h2>{by_model}<h2>Every amount</h2>{lines}"
        f"<h2>What amounts rest on</h2><ul>{bases}</ul>",
    )


def _amount(usd: Decimal) -> str:
    """To a hundredth of a cent: fifty lines are not off by a cent together."""
    return f"{usd:,.4f}"


def sentence(month: str, amounts: Iterable[Spend | Line]) -> str:
    """Where a month's money went, in one sentence; `amounts` are those of the month."""
    sums = _sums(amounts)
    total = sum((sum(parts, _ZERO) for _, parts in sums), _ZERO)
    if not total:
        return f"Nothing was spent in {month}."
    model, parts = sums[0]
    kind = ("training", "serving", "other things")[parts.index(max(parts))]
    share = _share(float(sum(parts, _ZERO) / total))
    return f"{format_usd(total)} in {month}; {share} of it for {model or '(none)'}, the largest part of that on {kind}."


def _share(share: float) -> str:
    """A percentage, which is 0 and 100 only where it is."""
    return "less than 1%" if 0 < share < _LEAST else "more than 99%" if 1 - _LEAST < share < 1 else f"{share:.0%}"


def _sums(lines: Iterable[Spend | Line]) -> list[tuple[str, tuple[Decimal, Decimal, Decimal]]]:
    """Model → training (failed too), serving and the rest; the dearest first."""
    sums = defaultdict[str, list[Decimal]](lambda: [_ZERO, _ZERO, _ZERO])
    for line in lines:
        sums[line.model][0 if "training" in line.what else 1 if line.what == "serving" else 2] += line.usd
    return [(model, (a, b, c)) for model, (a, b, c) in sorted(sums.items(), key=lambda item: (-sum(item[1]), item[0]))]


def _budget(given: Statement, model: str) -> str:
    return _amount(given.budget[model]) if model in given.budget else ""
