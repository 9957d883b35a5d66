"""Shared by all handlers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serving.fakes.http import problem

Handler = Callable[[Request], Awaitable[Response]]


def unknown() -> Response:
    """404."""
    return problem(404, "Not Found", "no such resource")


async def json_of(request: Request) -> Any:
    """A request's JSON, or nothing."""
    try:
        return json.loads(await request.body())
    except ValueError:
        return None


def invalid(errors: list[str]) -> Response:
    """422."""
    return problem(422, "Unprocessable Entity", "Request validation failed.", errors=errors)
