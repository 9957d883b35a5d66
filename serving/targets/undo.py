"""Undoing what failed halfway."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from registry.errors import InputError, ModelyardError, RefusedError, UnavailableError
from registry.refs import NEXT_SUFFIX


@contextmanager
def undone(undo: Callable[[], object], provider: str) -> Iterator[None]:
    """Call `undo` on failure; if that fails too, the error names both."""
    try:
        yield
    except ModelyardError as error:
        try:
            undo()
        except ModelyardError as again:
            both = f"{error.expectation}; and it could not be restored ({again.expectation})"
            raise UnavailableError(error.subject, both, f"deploy again when {provider} answers") from error
        raise
    except BaseException:
        with contextlib.suppress(ModelyardError):
            undo()
        raise


def check_name(name: str) -> None:
    """Raise InputError for a name that is reserved for trials."""
    if name.endswith(NEXT_SUFFIX):
        raise InputError(f"endpoint {name}", f"ends in '{NEXT_SUFFIX}', which is reserved for trials", "give it another name")


def not_ours(name: str, provider: str) -> RefusedError:
    """The error for an endpoint that Modelyard did not create."""
    remedy = "deploy under another name, or delete it in the console"
    return RefusedError(f"endpoint {name}", f"is at {provider} and was not made by Modelyard: it is left alone", remedy)
