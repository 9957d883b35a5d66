"""Whose fault it is that a request was not answered: the request's own, or that of the version that was asked.

A canary that refuses a request proves nothing by itself: its decoder, its key or its address may be what is wrong. So
the version that serves is asked as well, and only where it refuses for a reason of the same kind, the request was at fault.
"""

from __future__ import annotations

from typing import Literal

Reason = Literal["content", "address"]
"""What a refusal can find wrong with a request: what was sent, or where it was sent."""

_CONTENT = {400, 411, 413, 414, 415, 416, 417, 422, 431}
_ADDRESS = {404, 405, 410}
_REFUSED = 400


def reason_of(status: int) -> Reason | None:
    """What a status blames on the request; None for an answer, and for what is the server's own or its owner's trouble.

    A key that is wrong (401, 403), a bill (402), a limit (429) and every 5xx are nothing that a picture can cause.
    """
    return "content" if status in _CONTENT else "address" if status in _ADDRESS else None


def is_answer(status: int) -> bool:
    """Whether a status is that of an answer."""
    return 0 < status < _REFUSED


def is_request_at_fault(canary: int, stable: int) -> bool:
    """Whether both versions refused a request for a reason of the same kind, by their statuses."""
    return reason_of(canary) is not None and reason_of(canary) == reason_of(stable)
