"""What counts as a request: somebody asks for a prediction. Everything that counts or shares requests asks here.

A health check, a scrape of the metrics, a page that says what is served, and an address that is none are no requests:
they cost nothing that a model's users pay for, and come every few seconds whether anybody uses the model or not.
"""

from __future__ import annotations

import re

_INFER = re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer")
_HEALTH = re.compile(r"/health|/ping|/v2/health/(live|ready)|/v2/models/[^/]+(/versions/[^/]+)?/ready")
_PLAIN = {"/predict": "plain", "/invocations": "mlflow"}
REFUSED = "refused: "
"""How the error of a queue's worker begins where the request was at fault: a queue has no statuses to say so."""

_NO_REQUESTS = ("health", "other")


def protocol_of(method: str, path: str) -> str:
    """`plain`, `mlflow` or `oip` for a request, else `health` or `other`: a fixed set, whatever strangers ask for."""
    if method == "POST" and (path in _PLAIN or _INFER.fullmatch(path)):
        return _PLAIN.get(path, "oip")
    return "health" if _HEALTH.fullmatch(path) else "other"


def is_request(protocol: str) -> bool:
    """Whether what was counted under a protocol's name were requests."""
    return protocol not in _NO_REQUESTS


def names_version(path: str) -> bool:
    """Whether a request is for one version alone, so that no other may answer it."""
    inferred = _INFER.fullmatch(path)
    return inferred is not None and inferred[1] is not None
