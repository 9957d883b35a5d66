"""Decisions as pages show them, without Streamlit: what waits, what was refused and its fix, and what happened."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pandas as pd

from dashboards.words import cell
from registry.errors import shorten
from registry.events import Exported
from registry.protocols import Entry
from registry.reports.attention import AttentionItem
from registry.reports.history import decisions


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
