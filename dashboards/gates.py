"""Gates as a matrix, without Streamlit: a row for each version's newest attempt at a stage, a column for each gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from registry.errors import shorten
from registry.events import Promoted, Refused
from registry.protocols import Entry
from registry.records import Finding
from registry.reports.attention import remedy

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

GATE = "gate "
"""How the name of a gate's column begins: a gate may be called as another column is."""
_PASSED, _FAILED = "✓", "✗"
_COLOURS = {_PASSED: "background-color: #009e7340", _FAILED: "background-color: #d55e0059"}
"""Okabe and Ito's green and red, which colour-blind readers tell apart, let through by either theme's background."""
_MOST_ADVICE = 300


def gate_matrix(entries: Iterable[Entry]) -> pd.DataFrame:
    """Columns version, stage, outcome, when, one for each gate, advice and command; the newest attempt first.

    A gate's cell begins with its outcome, then has the figure and the threshold of the finding that decided it. It is empty
    where the policy at that time did not ask for the gate.
    """
    newest = dict[tuple[object, ...], Entry]()
    for entry in entries:
        event = entry.event
        if isinstance(event, (Promoted, Refused)) and not getattr(event, "again", None):  # a return judges nothing
            newest[event.model, event.identity, event.stage] = entry
    rows = [_row(entry) for entry in sorted(newest.values(), key=lambda entry: -entry.seq)]
    gates = list(dict.fromkeys(name for row in rows for name in row if name.startswith(GATE)))
    return pd.DataFrame(rows, columns=["version", "stage", "outcome", "when", *gates, "advice", "command"])


def _row(entry: Entry) -> dict[str, object]:
    event = entry.event
    assert isinstance(event, (Promoted, Refused))  # noqa: S101 the caller chose them
    refused = isinstance(event, Refused)
    by_gate = dict[str, list[Finding]]()
    for finding in event.findings:
        by_gate.setdefault(finding.gate, []).append(finding)
    return {
        "version": event.label,
        "stage": event.stage.value,
        "outcome": "refused" if refused else "promoted",
        "when": entry.at,
        **{f"{GATE}{gate}": _cell(findings) for gate, findings in by_gate.items()},
        "advice": shorten(event.advice, _MOST_ADVICE) if refused else "",
        "command": remedy(event) if refused else "",
    }


def _cell(findings: Sequence[Finding]) -> str:
    """The outcome, and the figure of the first finding that failed, or of the first where none did."""
    failed = [finding for finding in findings if not finding.passed]
    shown = (failed or findings)[0]
    words = _FAILED if failed else _PASSED
    if shown.figure is not None:
        words += f" {shown.figure:.4g}"
        words += f" (threshold {shown.limit:.4g})" if shown.limit is not None else ""
    elif failed:
        words += f" {shorten(shown.text, 80)}"
    return f"{words}, {len(failed)} of {len(findings)} checks" if failed and len(findings) > 1 else words


def coloured(matrix: pd.DataFrame) -> Styler:
    """The matrix with its gates' cells in the colour of their outcome."""
    gates = [name for name in matrix.columns if name.startswith(GATE)]
    return matrix.style.map(lambda text: _COLOURS.get(str(text)[:1], ""), subset=pd.Index(gates))


def gate_labels(matrix: pd.DataFrame) -> dict[str, str]:
    """Column → how it is headed: the gates by their names."""
    gates = {name: name.removeprefix(GATE).capitalize() for name in matrix.columns if name.startswith(GATE)}
    return gates | {"advice": "What would help most"}
