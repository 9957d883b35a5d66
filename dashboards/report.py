"""The Overview as a file: HTML that prints well and needs nothing else, CSV, or JSON.

python -m dashboards.report FILE.html|FILE.csv|FILE.json     what `modelyard report` runs
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

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
from registry.settings import read_settings

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--bad:#c0392b;--warn:#b9770e}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin-top:2rem}.quiet{opacity:.7}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:1rem}
.card{border:1px solid var(--line);border-radius:.6rem;padding:1rem;break-inside:avoid}
.card b.big{font-size:1.8rem;display:block}
.alert{border-left:.3rem solid var(--warn);padding:.2rem .8rem;margin:.5rem 0}.alert.grave{border-color:var(--bad)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line)}
td.number{text-align:right;font-variant-numeric:tabular-nums}code{overflow-wrap:anywhere}
@media print{body{margin:0;max-width:none;font-size:11pt}a{color:inherit}}
"""


def as_html(summary: Overview) -> str:
    """A page of its own. Every name and text is escaped; nothing is loaded from anywhere."""
    cards = "".join(_card(served, summary.at) for served in summary.served) or "<p>No model is in production.</p>"
    alerts = "".join(
        f'<div class="alert{" grave" if item.grave else ""}">{escape(item.text)}<br><code>{escape(item.command)}</code></div>'
        for item in summary.alerts
    )
    changed = _table(("Time", "Version", "Event", "By"), _changes(summary))
    spent = f"{format_usd(summary.spent_usd)} spent this month, "
    spent += f"{format_usd(summary.expected_usd)} expected by the end of the month."
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Modelyard {summary.at:%Y-%m-%d}</title>'
        '<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style><h1>Models in production</h1>"
        f'<p class="quiet">{summary.at:%Y-%m-%d %H:%M} UTC. {escape(spent)}</p><div class="cards">{cards}</div>'
        f"<h2>Needs attention</h2>{alerts or '<p>Nothing.</p>'}<h2>Last {CHANGED_DAYS} days</h2>{changed}</html>\n"
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
        "This machine costs nothing: no rate is set." if served.free else "",
        escape(f"Score: {words}." if (words := trend_words(served.trend)) else ""),
    ]
    return f'<div class="card">{"".join(f"<div>{line}</div>" for line in lines if line)}</div>'


def _changes(summary: Overview) -> Iterable[tuple[str, ...]]:
    for row in summary.changed.head(40).to_dict("records"):
        yield (f"{row['when']:%Y-%m-%d %H:%M}", str(row["version"]), str(row["text"]), str(row["who"]))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{body}</table>" if body else "<p>Nothing.</p>"


def as_csv(summary: Overview) -> str:
    """The models in production, one a row."""
    return table_csv(served_table(summary.served))


def table_csv(given: pd.DataFrame) -> str:
    """A table as CSV. A cell that a spreadsheet would take for a formula is marked as text."""
    table = given.copy()
    for column in table.select_dtypes(include=["object", "str"]).columns:
        table[column] = [f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" else cell for cell in table[column]]
    return str(table.to_csv(index=False))


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


def write_report(file: Path) -> Overview:
    """Write the report in the format of the file's ending. Raises InputError for another ending."""
    kinds = {
        ".html": as_html,
        ".csv": as_csv,
        ".json": lambda summary: json.dumps(as_json(summary), indent=2, ensure_ascii=False) + "\n",
    }
    make = kinds.get(file.suffix.lower())
    if make is None:
        raise InputError(file, "is not a supported report format", f"end its name in {', '.join(kinds)}")
    summary = overview(load_entries(read_settings()), now())
    write_atomic(file, make(summary).encode())
    return summary


def main() -> int:
    """Write the report, and print it as JSON; exit 2 with one line where that cannot be."""
    try:
        summary = write_report(Path(sys.argv[1]))
    except ModelyardError as error:
        print(error, file=sys.stderr)  # noqa: T201 a command
        return error.exit_code
    print(json.dumps(as_json(summary), ensure_ascii=False))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
