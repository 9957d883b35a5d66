"""Decisions as pages show them, without Streamlit: what waits, what was refused and what would mend it, and what happened."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pandas as pd

from dashboards.words import shorten
from registry.events import Exported
from registry.protocols import Entry
from registry.reports.history import decisions
from registry.reports.waiting import Waiting


def waiting_table(found: Iterable[Waiting]) -> pd.DataFrame:
    """One row a thing that waits."""
    rows = [(one.at, one.ref, one.stage, shorten(one.what, 300), one.command) for one in found]
    return pd.DataFrame(rows, columns=["since", "version", "stage", "what", "command"])


def moments(entries: Iterable[Entry], since: datetime | None = None) -> pd.DataFrame:
    """Columns when, model, version, stage, what, who, text: every decision, newest first."""
    rows = [
        (
            moment.at,
            shorten(moment.ref.partition("/")[0]),
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


def parity_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row a variant of each version's newest export: what parity measured, and whether it is in the bundle."""
    newest = {(one.event.model, one.event.identity): one.event for one in entries if isinstance(one.event, Exported)}
    rows = [
        (
            event.label,
            one.variant,
            one.images,
            one.top1_agreement,
            one.max_abs_diff,
            one.control_agreement,
            "kept" if one.kept else f"left out: {one.note}" if one.note else "left out",
        )
        for event in reversed(newest.values())
        for one in event.parity
    ]
    columns = ["version", "variant", "images", "agreement", "largest difference", "agreement, wrong images", "in the bundle"]
    return pd.DataFrame(rows, columns=columns)
