"""Which handler answers an address; what none answers is refused as everything else is, in the guard's JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from registry.errors import ModelyardError, shorten

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class NoSuchAddressError(ModelyardError):
    """Answered with 404."""


class WrongMethodError(ModelyardError):
    """Answered with 405."""

    allowed = ""


class _Route(Route):
    """A route that refuses another method by an error instead of plain text."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or raise WrongMethodError."""
        if self.methods and scope["method"] not in self.methods:
            allowed = ", ".join(sorted(self.methods))
            error = WrongMethodError(shorten(scope["path"], 80), f"does not answer {scope['method']}", f"use {allowed}")
            error.allowed = allowed
            raise error
        await super().handle(scope, receive, send)


def router(get: Mapping[str, Handler], post: Mapping[str, Handler]) -> Router:
    """Handlers by path."""
    routes = [_Route(path, handler, methods=["POST"]) for path, handler in post.items()]
    routes += [_Route(path, handler, methods=["GET"]) for path, handler in get.items()]
    return Router(routes, default=_not_found, redirect_slashes=False)


async def _not_found(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NoSuchAddressError(shorten(scope["path"], 80), "is not an address of this server", "see /openapi.json")
