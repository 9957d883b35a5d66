"""What is undone where it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from registry.errors import InputError, ModelyardError, RefusedError, UnavailableError

NEXT = "-next"
"""The end of an endpoint's name on which a bundle is tried out."""

CANARY = "-canary"
"""The end of an endpoint's name beside it that has a share of the traffic."""


@contextmanager
def undone(undo: Callable[[], object], provider: str) -> Iterator[None]:
    """Where it fails, `undo` is called; where that fails, too, both are told."""
    try:
        yield
    except ModelyardError as error:
        try:
            undo()
        except ModelyardError as again:
            both = f"{error.expectation}; and it could not be put back ({again.expectation})"
            raise UnavailableError(error.subject, both, f"deploy again when {provider} answers") from error
        raise
    except BaseException:
        with contextlib.suppress(ModelyardError):
            undo()
        raise


def check_name(name: str) -> None:
    """Raise InputError for a name under which bundles of another endpoint would be tried out."""
    if name.endswith(NEXT):
        raise InputError(f"endpoint {name}", f"ends in '{NEXT}', where bundles are tried out", "give it another name")


def not_ours(name: str, provider: str) -> RefusedError:
    """What is said of an endpoint that somebody else made."""
    remedy = "deploy under another name, or delete it in the console"
    return RefusedError(f"endpoint {name}", f"is at {provider} and was not made by Modelyard: it is left alone", remedy)
