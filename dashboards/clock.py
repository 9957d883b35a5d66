"""Times as pages show them: in the reader's own time zone, which the browser tells, and always in the same form."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import streamlit as st

UTC_NAME = "UTC"


def zone_name() -> str:
    """The reader's time zone by its IANA name; UTC where the browser names none that this machine knows."""
    name = st.context.timezone or UTC_NAME
    return name if _zone(name) is not None else UTC_NAME


def zone() -> tzinfo:
    """The reader's time zone."""
    return _zone(zone_name()) or UTC


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no name at all, or one that leads out of the zones' folder
        return UTC if name == UTC_NAME else None


def in_words(at: datetime, where: tzinfo) -> str:
    """A moment to the minute, with its zone: `2026-11-24 13:00 CET`."""
    return f"{at.astimezone(where):%Y-%m-%d %H:%M %Z}"
