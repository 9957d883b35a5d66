"""Pages and tables as files: HTML that prints well, loads nothing and takes no text for markup, and CSV."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import pandas as pd

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--bad:#c0392b;--warn:#b9770e}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin-top:2rem}.quiet{opacity:.7}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:1rem}
.card{border:1px solid var(--line);border-radius:.6rem;padding:1rem;break-inside:avoid}
.card b.big{font-size:1.8rem;display:block}
.alert{border-left:.3rem solid var(--warn);padding:.2rem .8rem;margin:.5rem 0}.alert.grave{border-color:var(--bad)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line)}
tr.sum td{font-weight:bold;border-top:2px solid}
td.number{text-align:right;font-variant-numeric:tabular-nums}td,code{overflow-wrap:anywhere}
@media print{body{margin:0;max-width:none;font-size:11pt}a{color:inherit}}
"""


def document(title: str, body: str) -> str:
    """A whole page. `title` is escaped here; `body` is markup already."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style>{body}</html>\n"
    )


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], numbers: int = 0, total: tuple[str, ...] = ()) -> str:
    """Rows of texts as a table; the last `numbers` columns are aligned to the right, and `total` is the line below."""
    lines = [_row(row, numbers) for row in rows]
    if not lines:
        return "<p>Nothing.</p>"
    if total:
        lines.append(_row(total, numbers).replace("<tr>", '<tr class="sum">', 1))
    return f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{''.join(lines)}</table>"


def _row(cells: tuple[str, ...], numbers: int) -> str:
    first = len(cells) - numbers
    kinds = ["" if at < first else ' class="number"' for at in range(len(cells))]
    return f"<tr>{''.join(f'<td{kind}>{escape(text)}</td>' for kind, text in zip(kinds, cells, strict=True))}</tr>"


def table_csv(given: pd.DataFrame) -> str:
    """A table as CSV. A cell that a spreadsheet would take for a formula is marked as text."""
    safe = given.copy()
    for column in safe.select_dtypes(include=["object", "str"]).columns:
        safe[column] = [f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" else cell for cell in safe[column]]
    return str(safe.to_csv(index=False))
