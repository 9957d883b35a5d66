"""Why a server refused a request, in words: its own JSON never reaches a user as it came."""

from __future__ import annotations

from http import HTTPStatus

import httpx

from registry.errors import shorten


def why_refused(answer: httpx.Response) -> str:
    """The sentence in a server's JSON (`error`, `message` or `detail`), else what the status means."""
    try:
        document = answer.json()
    except ValueError:  # also of bytes that are no text
        document = None
    if isinstance(document, dict):
        for key in ("error", "message", "detail"):
            if isinstance(words := document.get(key), str) and words.strip():
                return shorten(words, 200)
    try:
        return f"{answer.status_code} {HTTPStatus(answer.status_code).phrase}"
    except ValueError:
        return str(answer.status_code)
