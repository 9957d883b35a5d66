"""The Overview or a month's statement as a file: HTML that prints well and needs nothing else, CSV, or JSON.

python -m dashboards.report FILE.html|FILE.csv|FILE.json [MONTH]     what `modelyard report` runs
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from dashboards.files import document, table, table_csv
from dashboards.money.statement import Statement, lines_table, statement, statement_html
from dashboards.overview import (
    CHANGED_DAYS,
    Overview,
    Served,
    accuracy_words,
    doubt_words,
    overview,
    score_words,
    served_table,
    since_words,
)
from dashboards.queries import load_entries
from dashboards.trends import trend_words
from registry.amounts import format_usd
from registry.errors import InputError, ModelyardError
from registry.events import now
from registry.files import write_atomic
from registry.protocols import Entry
from registry.settings import read_settings

_ENDINGS = (".html", ".csv", ".json")


def as_html(summary: Overview) -> str:
    """A page of its own. Every name and text is escaped; nothing is loaded from anywhere."""
    cards = "".join(_card(served, summary.at) for served in summary.served) or "<p>No model is in production.</p>"
    alerts = "".join(
        f'<div class="alert{" grave" if item.grave else ""}">{escape(item.text)}<br><code>{escape(item.command)}</code></div>'
        for item in summary.alerts
    )
    changed = table(("Time", "Version", "Event", "By"), _changes(summary))
    spent = f"{format_usd(summary.spent_usd)} spent this month, "
    spent += f"{format_usd(summary.expected_usd)} expected by the end of the month."
    return document(
        f"Modelyard {summary.at:%Y-%m-%d}",
        f'<h1>Models in production</h1><p class="quiet">{summary.at:%Y-%m-%d %H:%M} UTC. {escape(spent)}</p>'
        f'<div class="cards">{cards}</div><h2>Needs attention</h2>{alerts or "<p>Nothing.</p>"}'
        f"<h2>Last {CHANGED_DAYS} days</h2>{changed}",
    )


def _card(served: Served, at: datetime) -> str:
    budget = f" of {format_usd(served.against_usd)}" if served.against_usd is not None else ""
    money = (
        f"{format_usd(served.spent_usd)}{budget} spent this month, {format_usd(served.expected_usd)} expected by the end of it"
    )
    speed = f"p95 latency {served.latency.p95_ms:.1f} ms." if served.latency else ""
    lines = [
        f"<b>{escape(served.model)}</b>",
        f'<b class="big">{escape(score_words(served.evaluation))}</b>' if served.evaluation else "",
        escape(doubt_words(served.evaluation)) if served.evaluation else "",
        escape(accuracy_words(served.evaluation)),
        escape(speed),
        escape(f"{served.version}, {since_words(served.since, at)}, promoted by {served.who}."),
        escape(money),
        f"<code>{escape(served.url)}</code>" if served.url else "",
        "It runs on this machine at no cost." if served.free else "",
        escape(f"Score: {words}." if (words := trend_words(served.trend)) else ""),
    ]
    return f'<div class="card">{"".join(f"<div>{line}</div>" for line in lines if line)}</div>'


def _changes(summary: Overview) -> Iterable[tuple[str, ...]]:
    for row in summary.changed.head(40).to_dict("records"):
        yield (f"{row['when']:%Y-%m-%d %H:%M}", str(row["version"]), str(row["text"]), str(row["who"]))


def as_csv(summary: Overview) -> str:
    """The models in production, one a row."""
    return table_csv(served_table(summary.served))


def as_json(summary: Overview) -> dict[str, Any]:
    """Everything, for machines."""
    return {
        "at": summary.at.isoformat(),
        "production": json.loads(served_table(summary.served).to_json(orient="records")),
        "alerts": [alert._asdict() for alert in summary.alerts],
        "spent_usd": str(summary.spent_usd),
        "expected_usd": str(summary.expected_usd),
        "changed": json.loads(summary.changed.to_json(orient="records", date_format="iso")),
    }


def write_report(file: Path, month: str | None = None) -> dict[str, Any]:
    """Write the Overview, or a month's statement, in the format of the file's ending; returns what stands in it.

    Raises InputError for another ending, and for what is no month.
    """
    if file.suffix.lower() not in _ENDINGS:
        raise InputError(file, "is not a supported report format", f"end its name in {', '.join(_ENDINGS)}")
    entries = load_entries(read_settings())
    answer, make = _statement(entries, month) if month else _overview(entries)
    write_atomic(file, make[file.suffix.lower()]().encode())
    return answer


_Answer = tuple[dict[str, Any], dict[str, Callable[[], str]]]
"""What a report says to machines, and how it is made by the ending of its file."""


def _overview(entries: Sequence[Entry]) -> _Answer:
    summary = overview(entries, now())
    answer = as_json(summary)
    return answer, {".html": lambda: as_html(summary), ".csv": lambda: as_csv(summary), ".json": lambda: _indented(answer)}


def _statement(entries: Sequence[Entry], month: str) -> _Answer:
    given = statement(entries, month, now())
    answer = statement_json(given)
    makes = {".html": lambda: statement_html(given), ".csv": lambda: table_csv(lines_table(given))}
    return answer, makes | {".json": lambda: _indented(answer)}


def _indented(answer: dict[str, Any]) -> str:
    return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"


def statement_json(given: Statement) -> dict[str, Any]:
    """A statement, for machines: amounts as decimals in text."""
    lines = [line._asdict() | {"usd": f"{line.usd:f}"} for line in given.lines]
    budget = {model: f"{usd:f}" for model, usd in given.budget.items()}
    return {"month": given.month, "at": given.at.isoformat(), "usd": f"{given.usd:f}", "budget": budget, "lines": lines}


def main() -> int:
    """Write the report, and print it as JSON; exit 2 with one line where that cannot be."""
    try:
        answer = write_report(Path(sys.argv[1]), next(iter(sys.argv[2:]), None))
    except ModelyardError as error:
        print(error, file=sys.stderr)  # noqa: T201 a command
        return error.exit_code
    print(json.dumps(answer, ensure_ascii=False))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
