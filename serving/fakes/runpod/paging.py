"""Lists in pages, as RunPod cuts them since September 2026: a page may be short, or empty with more to follow."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

MOST = 1000
Row = TypeVar("Row")


class Page(NamedTuple, Generic[Row]):
    """The rows of a page, and what goes on the wire beside them. `errors`: the request was wrong, and there is no page."""

    rows: list[Row]
    pagination: dict[str, Any]
    errors: list[str]


@dataclass
class Paging:
    """How lists are cut. `strangers` rows at the head of each list are filtered out after a page is cut."""

    most: int = MOST
    strangers: int = 0

    def page(
        self, operation: str, rows: Sequence[Row], query: Mapping[str, str], parameters: Sequence[str] = (), most: int = MOST
    ) -> Page[Row]:
        """The page that a query asks for. A cursor is valid for the operation and the parameters that it was given for."""
        limit = query.get("limit", str(most))
        if not limit.isdecimal() or not 1 <= int(limit) <= most:
            return Page([], {}, [f"$.limit: must be from 1 to {most}"])
        key, after = "/".join([operation, limit, *(f"{name}={query.get(name, '')}" for name in parameters)]), 0
        if "cursor" in query:
            issued, _, offset = _decode(query["cursor"]).rpartition("#")
            if issued != key or not offset.isdecimal():
                return Page([], {}, ["$.cursor: is not valid for this list"])
            after = int(offset)
        every: list[Row | None] = [*[None] * self.strangers, *rows]
        size = min(int(limit), self.most)
        more = len(every) > after + size
        cursor = base64.urlsafe_b64encode(f"{key}#{after + size}".encode()).decode() if more else None
        kept = [row for row in every[after : after + size] if row is not None]
        return Page(kept, {"nextCursor": cursor, "hasNextPage": more}, [])


def _decode(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor.encode()).decode()
    except (binascii.Error, ValueError):
        return ""
