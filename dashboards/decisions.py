"""Decisions as pages show them, without Streamlit: what waits, what was refused and its fix, and what happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from dashboards.words import cell
from registry.errors import shorten
from registry.events import Exported, Refused
from registry.protocols import Entry
from registry.records import Finding
from registry.reports.attempts import Attempt, newest_attempts
from registry.reports.attention import AttentionItem, remedy
from registry.reports.history import decisions

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

GATE = "gate "
"""How the name of a gate's column begins: a gate may be called as another column is."""
_PASSED, _FAILED = "✓", "✗"
_COLOURS = {_PASSED: "background-color: #009e7340", _FAILED: "background-color: #d55e0059"}
"""Okabe and Ito's green and red, which colour-blind readers tell apart, let through by either theme's background."""
_MOST_ADVICE = 300
_LEAST_APART, _MOST_LANES = 50, 10


def waiting_table(items: Iterable[AttentionItem]) -> pd.DataFrame:
    """One row a thing that waits."""
    rows = [(item.at, item.ref, item.stage, shorten(item.what, 300), item.command) for item in items]
    return pd.DataFrame(rows, columns=["since", "version", "stage", "what", "command"])


def moments(entries: Iterable[Entry], since: datetime | None = None) -> pd.DataFrame:
    """Columns when, model, version, stage, what, who, text: every decision, newest first."""
    rows = [
        (
            moment.at,
            cell(moment.model),
            moment.ref,
            moment.stage or "",
            moment.what.replace("_", " "),
            moment.who,
            shorten(moment.text, 300),
        )
        for moment in decisions(entries)
        if since is None or moment.at >= since
    ]
    return pd.DataFrame(rows[::-1], columns=["when", "model", "version", "stage", "what", "who", "text"])


def in_lanes(events: pd.DataFrame) -> pd.DataFrame:
    """The same rows with a column lane: two events of a model that are close in time are not in the same one.

    Close is less than a fiftieth of the time that is shown. Where more than ten are close, the lanes begin anew.
    """
    events = events.sort_values("when", kind="stable")
    near = (events["when"].max() - events["when"].min()) / _LEAST_APART if len(events) else None
    ends, lanes = dict[str, list[pd.Timestamp]](), list[int]()
    for model, when in zip(events["model"], events["when"], strict=True):
        last = ends.setdefault(model, [])
        free = (lane for lane, end in enumerate(last) if when - end > near)
        lane = next(free, len(last) if len(last) < _MOST_LANES else last.index(min(last)))
        last[lane : lane + 1] = [when]
        lanes.append(lane)
    return events.assign(lane=lanes)


def policy_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row a change of a policy, newest first: what is other since then, in words, by whom, and whether it counts."""
    rows = [
        (moment.at, cell(moment.ref), moment.row, change, moment.who, "yes" if moment.counts else "no")
        for moment in reversed(decisions(entries))
        if moment.what in {"policy_set", "policy_approved"}
        for change in (moment.changes if moment.counts and moment.changes else (shorten(moment.text, 300),))
    ]
    return pd.DataFrame(rows, columns=["when", "model", "row", "change", "who", "counts"])


def parity_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row a variant of each version's newest export: what parity measured, and whether it is in the bundle."""
    exports = [entry.event for entry in entries if isinstance(entry.event, Exported)]
    newest = {(event.model, event.identity): event for event in exports}
    rows = [
        (
            event.label,
            figures.variant,
            figures.images,
            figures.top1_agreement,
            figures.max_abs_diff,
            figures.control_agreement,
            "yes" if figures.kept else f"no: {figures.note}" if figures.note else "no",
        )
        for event in reversed(newest.values())
        for figures in event.parity
    ]
    columns = ["version", "variant", "images", "agreement", "max difference", "control agreement", "in bundle"]
    return pd.DataFrame(rows, columns=columns)


def gate_matrix(entries: Iterable[Entry]) -> pd.DataFrame:
    """Columns version, stage, outcome, when, one for each gate, advice and command; the newest attempt first.

    A gate's cell begins with its outcome, then has the figure and the threshold of the finding that decided it. It is empty
    where the policy at that time did not ask for the gate.
    """
    rows = [_row(attempt) for attempt in newest_attempts(entries)]
    gates = list(dict.fromkeys(name for row in rows for name in row if name.startswith(GATE)))
    matrix = pd.DataFrame(rows, columns=["version", "stage", "outcome", "when", *gates, "advice", "command"])
    return matrix.fillna(dict.fromkeys(gates, ""))


def _row(attempt: Attempt) -> dict[str, object]:
    event = attempt.event
    by_gate = dict[str, list[Finding]]()
    for finding in event.findings:
        by_gate.setdefault(finding.gate, []).append(finding)
    return {
        "version": event.label,
        "stage": event.stage.value,
        "outcome": event.kind,
        "when": attempt.entry.at,
        **{f"{GATE}{gate}": _cell(findings) for gate, findings in by_gate.items()},
        "advice": shorten(event.advice, _MOST_ADVICE) if isinstance(event, Refused) else "",
        "command": remedy(event) if isinstance(event, Refused) else "",
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
