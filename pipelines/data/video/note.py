"""What a take that `modelyard capture` filmed says of itself, in its container."""

from __future__ import annotations

import json
from collections.abc import Mapping

from registry.records import Record

NOTE = "comment"
"""The place in a container's metadata that every MP4 has room for; a file beside the clip would be a stray file."""


class TakeNote(Record):
    """A take: its class and number, who was filmed when with what, and whether the pictures are mirrored."""

    label: str
    number: int
    session: str = ""
    person: str = ""
    camera: str = ""
    mirrored: bool = False

    def text(self) -> str:
        """The note as it lies in the container."""
        return json.dumps({"modelyard": self.model_dump(mode="json")}, ensure_ascii=False)


def read_note(metadata: Mapping[str, str]) -> TakeNote | None:
    """The note in a container's metadata, if one of ours is there."""
    try:
        return TakeNote.model_validate(json.loads(metadata[NOTE])["modelyard"])
    except (KeyError, TypeError, ValueError):
        return None
