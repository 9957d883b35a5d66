"""Times as pages show them: in the reader's own time zone, which the browser tells, and always in the same form."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import streamlit as st


def zone() -> tzinfo:
    """The reader's time zone; UTC where the browser names none that this machine knows."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (KeyError, ValueError, OSError):  # unknown, no name at all, or a path that leads out of the zones' folder
        return UTC


def in_words(at: datetime, where: tzinfo) -> str:
    """A moment to the minute, with its zone: `2026-11-24 13:00 CET`."""
    return f"{at.astimezone(where):%Y-%m-%d %H:%M %Z}"
