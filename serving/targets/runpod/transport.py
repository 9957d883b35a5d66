"""Requests to RunPod's REST v2: typed answers, retries where repeating is safe, errors in one line.

A POST has no idempotency key. A lost reply has its own error (`LostReplyError`): the caller checks whether the request
was carried out before repeating it.
"""

from __future__ import annotations

import copy
import json
import random
import re
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Self, TypeVar

import httpx
from pydantic import SecretStr, ValidationError

from registry.backoff import wait_s
from registry.errors import (
    BusyError,
    DeniedError,
    InputError,
    ModelyardError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    shorten,
)
from serving.targets.runpod.shapes import Shape
from serving.targets.waiting import tls

BASE = "https://api.runpod.io"
_TRIES = 6
_LONGEST_PAUSE_S = 60.0
_LONGEST_WAIT_S = 600.0
_MOST_PAGES = 1000
_STREAM_S, _SILENCE_S = 5.0, 2.0
_STREAM_CHARACTERS = 2_000_000
_WINDOW = re.compile(r'"[^"]*"\s*;\s*r=(\d+)\s*;\s*t=(\d+)')
S = TypeVar("S", bound=Shape)


class UnmetError(InputError):
    """A 400: the request is wrong, or there is no capacity now; RunPod does not distinguish these."""


class ForbiddenError(DeniedError):
    """A 403: the key is valid and may not do this; it may do other things."""


class TooLargeError(InputError):
    """A 413: the request's body has more bytes than RunPod reads."""


class LostReplyError(UnavailableError):
    """A request was sent and its answer never came: it may have been carried out."""


class RunPodTransport:
    """Sends requests to RunPod's control plane. `remedy` is what to fix where RunPod refuses a request as wrong."""

    remedy = "fix the job's `deploy`"

    def __init__(
        self,
        key: SecretStr,
        base: str = BASE,
        sleep: Callable[[float], object] = time.sleep,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`sleep` waits between tries; `transport` carries the requests, by default over the network."""
        self._key, self._sleep, self._base = key, sleep, base.rstrip("/")
        self._now = time.monotonic
        self.longest_wait_s = _LONGEST_WAIT_S
        self.origin: RunPodTransport | None = None
        address = f"{self._base}/v2"
        self._http = httpx.Client(base_url=address, timeout=timeout_s, headers=self.headers, verify=tls(), transport=transport)
        weakref.finalize(self, self._http.close)

    def impatient(self, seconds: float) -> Self:
        """The same client, for which a longer wait that RunPod asks for is an error: whoever asks has a deadline."""
        twin = copy.copy(self)
        twin.longest_wait_s, twin.origin = seconds, self  # its connections close with the first one
        return twin

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request, also to an endpoint's own URL."""
        return {"Authorization": f"Bearer {self._key.get_secret_value()}", "User-Agent": "modelyard"}

    def _one(self, shape: type[S], method: str, path: str, body: Shape | None = None) -> S:
        return _read(shape, self._send(method, path, body=body), path)

    def _many(self, shape: type[S], path: str, wrapped: str, params: Mapping[str, Any] | None = None) -> list[S]:
        """All rows of all pages, each once. A page may be short or empty with more to follow.

        A list without pages is one page. What is added while the pages are read may push a row onto the next one.
        """
        rows, cursors, query = dict[object, S](), set[str](), dict(params or {})
        for _ in range(_MOST_PAGES):
            page, cursor = self._page(path, wrapped, query)
            read = [_read(shape, row, path) for row in page]
            rows |= {getattr(row, "id", len(rows) + number): row for number, row in enumerate(read)}
            if cursor is None:
                return list(rows.values())
            if not cursor or cursor in cursors:
                raise UnavailableError("RunPod", f"{path} repeats a page of its list", "try again later")
            cursors.add(cursor)
            query["cursor"] = cursor
        raise UnavailableError("RunPod", f"{path} has more than {_MOST_PAGES} pages", "delete what is not needed there")

    def _page(self, path: str, wrapped: str, query: Mapping[str, Any]) -> tuple[list[Any], str | None]:
        """A page's rows, and the cursor of the next one; None after the last."""
        try:
            answer = self._send("GET", path, params=query)
        except InputError as error:
            if "cursor" in query and type(error) is InputError:  # the list has changed under its cursor
                raise UnavailableError(error.subject, error.expectation, "try again later") from error
            raise
        page = answer.get(wrapped) if isinstance(answer, dict) else None
        pages = (answer.get("pagination") or {}) if isinstance(answer, dict) else {}
        if not isinstance(page, list) or not isinstance(pages, dict):
            raise UnavailableError("RunPod", f"{path} answered without '{wrapped}'", "try again later")
        return page, str(pages.get("nextCursor") or "") if pages.get("hasNextPage") else None

    def _delete(self, path: str) -> None:
        try:
            self._send("DELETE", path)
        except NotFoundError:
            return

    def _send(self, method: str, path: str, *, body: Shape | None = None, params: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON, with retries where repeating is safe."""
        answer = self._tried(method, path, body, params)
        for tried in range(1, _TRIES):
            if isinstance(answer, httpx.Response) and not _passing(answer):
                break
            if (pause := _pause(answer, tried)) > self.longest_wait_s:
                raise UnavailableError("RunPod", f"asks to wait {pause:.0f} s", "try again then")
            self._sleep(pause)
            answer = self._tried(method, path, body, params)
        if isinstance(answer, httpx.Response) and answer.is_success:
            return _content(answer, method, path)
        if isinstance(answer, httpx.Response):
            raise self._problem(answer, method, path)
        why = type(answer).__name__
        raise UnavailableError("RunPod", f"does not answer at {self._base} ({why})", "try again later") from answer

    def _tried(
        self, method: str, path: str, body: Shape | None, params: Mapping[str, Any] | None
    ) -> httpx.Response | Exception:
        """One try. Raises LostReplyError if a POST may have been carried out."""
        try:
            answer = self._http.request(method, path, json=body.as_dict() if body else None, params=params)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return error  # it was never sent
        except httpx.HTTPError as error:
            if method == "POST":
                raise LostReplyError("RunPod", f"never answered {method} {path}", "check RunPod, then try again") from error
            return error
        if method == "POST" and answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise LostReplyError(
                "RunPod", f"answered {method} {path} with {answer.status_code}", "check RunPod, then try again"
            )
        return answer

    def _problem(self, answer: httpx.Response, method: str, path: str) -> ModelyardError:
        """An error response as one of our errors."""
        try:
            body = answer.json()
            detail = "; ".join([str(body.get("detail") or body.get("title")), *map(str, body.get("errors") or [])])
        except (ValueError, AttributeError):
            detail = shorten(answer.text, 160) or "no reason given"  # such as a 403 of the network in front of RunPod
        detail = detail.replace(self._key.get_secret_value(), "***")
        code, what = answer.status_code, f"{method} {path}"
        known: dict[int, tuple[type[ModelyardError], str]] = {
            400: (UnmetError, f"{self.remedy}, or try again later"),
            401: (DeniedError, "set RUNPOD_API_KEY to a key that is valid"),
            402: (RefusedError, "add credit to the account"),
            403: (ForbiddenError, "use a key that may do this"),
            404: (NotFoundError, "see `modelyard status`"),
            409: (BusyError, "try again in a minute"),
            413: (TooLargeError, self.remedy),
            410: (InputError, "upgrade modelyard: that version of the API is retired"),
        }
        remedy = self.remedy if code < HTTPStatus.INTERNAL_SERVER_ERROR else "try again later"
        kind, remedy = known.get(code, (InputError if code < HTTPStatus.INTERNAL_SERVER_ERROR else UnavailableError, remedy))
        if code == HTTPStatus.TOO_MANY_REQUESTS:
            kind, remedy = UnavailableError, "try again later"
        return kind("RunPod", f"{what} was answered with {code}: {detail}", remedy)

    def _events(self, path: str, params: Mapping[str, Any], most: int) -> list[str]:
        """The newest lines that a stream has now, `most` at most.

        The stream stays open, so it is left at so many lines, at a heartbeat, when it is silent, or at the deadline: the
        first of them.
        """
        lines, ends, size, cut = list[str](), self._now() + _STREAM_S, 0, ""
        try:
            timeout = httpx.Timeout(_SILENCE_S, connect=10.0)
            with self._http.stream("GET", path, params=params, timeout=timeout) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._problem(answer, "GET", path)
                with _silence():
                    for chunk in answer.iter_text():
                        size, (*whole, cut) = size + len(chunk), (cut + chunk).split("\n")
                        lines += [_line_of(line[5:].strip()) for line in whole if line.startswith("data:")]
                        heartbeat = any(line.startswith(":") for line in whole)
                        if heartbeat or len(lines) >= most or size > _STREAM_CHARACTERS or self._now() > ends:
                            break
        except httpx.HTTPError as error:
            raise UnavailableError("RunPod", f"gives no logs ({type(error).__name__})", "try again later") from error
        return lines[-most:]


@contextmanager
def _silence() -> Iterator[None]:
    try:
        yield
    except httpx.ReadTimeout:
        return


def _line_of(event: str) -> str:
    """The line that an event of a log stream carries."""
    try:
        return str(json.loads(event)["line"])
    except (ValueError, KeyError, TypeError):
        return event


def _content(answer: httpx.Response, method: str, path: str) -> Any:
    """The JSON of an answer that says it went well. One that cannot be read is no answer."""
    try:
        return answer.json() if answer.content else None
    except ValueError as error:
        if method == "POST":
            raise LostReplyError("RunPod", f"answered {method} {path} unreadably", "check RunPod, then try again") from error
        raise UnavailableError("RunPod", f"answered {method} {path} with what is not JSON", "try again later") from error


def _passing(answer: httpx.Response) -> bool:
    """Whether trying again may help."""
    return answer.status_code in {408, 425, 429} or answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR


def _pause(answer: httpx.Response | Exception, tried: int) -> float:
    """Seconds until the next try: what the provider asks for, or exponential backoff with jitter.

    RunPod counts requests in three windows at once, and Retry-After names only the one that refused: the longest counts.
    """
    headers = answer.headers if isinstance(answer, httpx.Response) else httpx.Headers()
    waits = [float(rest) for left, rest in _WINDOW.findall(headers.get("RateLimit", "")) if left == "0"]
    retry_after = headers.get("Retry-After", "")
    if retry_after.isdigit():
        waits.append(float(retry_after))
    if waits:
        return max(*waits, 1.0)
    return min(wait_s(tried) * random.uniform(0.25, 0.75), _LONGEST_PAUSE_S)  # noqa: S311 not for secrets


def _read(shape: type[S], data: Any, path: str) -> S:
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UnavailableError(
            "RunPod", f"{path} answered what cannot be read ({where}: {first['msg']})", "upgrade modelyard"
        ) from error
