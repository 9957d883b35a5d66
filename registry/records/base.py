"""The base of every record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen record that refuses what it does not know and reads back from its own JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")
