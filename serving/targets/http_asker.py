"""Asking an endpoint's `/predict` over HTTP, as any of its clients may: patient with one that is busy, and sure of its answer.

Raises InputError for what is wrong with the image, and UnavailableError for what is wrong with the endpoint.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from registry.address import redact_login
from registry.errors import InputError, UnavailableError
from serving.targets.refusals import why_refused
from serving.targets.waiting import Clock, tls

Fields = dict[str, Any]
"""`label`, `probability`, `probabilities`, `served_by` and, of a detector, `boxes`."""

_TIMEOUT_S = 30.0
_ANSWER_S = 60.0
"""Longest time for one answer, however slowly its bytes come."""
_MOST_ANSWER_BYTES = 16_000_000
_PICTURE = {408, 413, 415, 422}
"""What a server answers because of the picture."""
_BUSY = {429, 502, 503, 504}
_LONGEST_WAIT_S, _PATIENCE_S, _TRIES = 10.0, 60.0, 3


class HttpAsker:
    """An endpoint's `/predict`. One that is busy is asked again after the time that it names, for a minute at most.

    `headers` carry our key, and go to our own endpoints alone.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, clock: Clock | None = None) -> None:
        """Nothing is sent yet."""
        self._subject, self._clock = redact_login(url), clock or Clock()
        self._address = f"{url.rstrip('/').removesuffix('/predict')}/predict"
        self._client = httpx.Client(timeout=_TIMEOUT_S, headers=dict(headers or {}), verify=tls())

    def __call__(self, data: bytes) -> Fields:
        """The endpoint's answer."""
        status, answer = self._answered(data)
        if status in _PICTURE:
            raise InputError("image", f"the endpoint refused it ({why_refused(answer)})", "give a whole image file")
        if status in {401, 403}:
            remedy = "name it as NAME@STAGE with the key in MODELYARD_API_KEY; to an address no key is sent"
            raise UnavailableError(self._subject, f"wants another key ({status})", remedy)
        if not answer.is_success:
            remedy = "check that it is a Modelyard endpoint, or see its log"
            raise UnavailableError(self._subject, f"answered: {why_refused(answer)}", remedy)
        try:
            document = answer.json()
            by = f"{document['model']}/{document['version']} at {self._subject}"
            fields: Fields = {key: document[key] for key in ("label", "probability", "probabilities")}
            return fields | {"boxes": document.get("boxes"), "served_by": by}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnavailableError(
                self._subject, "does not answer as a Modelyard endpoint does", "check the address"
            ) from error

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _answered(self, data: bytes) -> tuple[int, httpx.Response]:
        """Its answer, after waiting while it is busy; a connection that broke is tried again."""
        began, broken = self._clock.now(), 0
        while True:
            try:
                answer = self._send(data)
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                broken += 1
                if broken < _TRIES and isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError)):
                    self._clock.sleep(0.2 * broken)
                    continue
                remedy = "see `modelyard status` for live endpoints"
                raise UnavailableError(self._subject, f"does not answer ({type(error).__name__})", remedy) from error
            wait = _wait_of(answer)
            if answer.status_code not in _BUSY or self._clock.now() - began + wait > _PATIENCE_S:
                return answer.status_code, answer
            self._clock.sleep(wait)

    def _send(self, data: bytes) -> httpx.Response:
        """One request. An answer that does not end, or that comes byte by byte, is cut off."""
        deadline, held = time.monotonic() + _ANSWER_S, bytearray()
        with self._client.stream("POST", self._address, content=data) as answer:
            for chunk in answer.iter_bytes():
                held += chunk
                if len(held) > _MOST_ANSWER_BYTES or time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer does not end")
        kept = {key: answer.headers[key] for key in ("retry-after", "content-type") if key in answer.headers}
        return httpx.Response(answer.status_code, headers=kept, content=bytes(held), request=answer.request)


def _wait_of(answer: httpx.Response) -> float:
    """Seconds until a busy server wants to be asked again: as it says, within bounds, and not all at once."""
    said_so = answer.headers.get("retry-after", "1").strip()
    try:
        seconds = float(said_so)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(said_so) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            seconds = 1.0
    bounded = min(max(seconds, 0.2), _LONGEST_WAIT_S) if seconds == seconds else 1.0  # noqa: PLR0124 NaN
    return bounded * (1 + random.random() / 4)  # noqa: S311 not for secrets
