"""What a cloud's endpoint answers instead of a prediction: the picture's fault, or the endpoint's and its account's."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx

from registry.errors import InputError, ModelyardError, UnavailableError, shorten
from serving.canary.fault import reason_of

_REMEDIES = {
    401: "check the key that this environment holds",
    402: "see the account's credit",
    403: "check what the key may do",
    404: "run `modelyard reconcile`",
}


def refusal(name: str, answer: httpx.Response) -> ModelyardError:
    """The error for a status that waiting does not change: InputError only where the picture was looked at and refused."""
    status = answer.status_code
    words = why_refused(answer)
    why = f"refused ({words if words.startswith(str(status)) else f'{status}: {words}'})"
    if reason_of(status) == "content":
        return InputError(f"endpoint {name}", why, "send an image file")
    return UnavailableError(f"endpoint {name}", why, _REMEDIES.get(status, "see `modelyard endpoint logs`"))


def json_of(answer: httpx.Response, name: str) -> Any:
    """The document in an answer. Raises UnavailableError where it is none: a proxy's page, or an answer cut short."""
    try:
        return answer.json()
    except ValueError as error:
        raise UnavailableError(f"endpoint {name}", "answered no JSON", "see `modelyard endpoint logs`") from error


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
