"""Stores that remote workers download bundles from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import httpx

from registry.errors import InputError, UnavailableError
from serving.bundle.bundle import Bundle
from serving.bundle.checked import INDEX

_TIMEOUT_S = 30.0


class BundleStore(Protocol):
    """A store that workers can download from."""

    def put(self, bundle: Bundle) -> str:
        """Make sure that the bundle is there; returns the URL of its folder."""
        ...


@dataclass(frozen=True)
class StaticBundleStore:
    """Any web server or bucket: the user uploads, we check that it is there. `base`/DIGEST/ holds one bundle."""

    base: str

    def put(self, bundle: Bundle) -> str:
        """The bundle's URL. Raises InputError, saying what to upload, if it is not there."""
        address = f"{self.base.rstrip('/')}/{bundle.index.digest}"
        try:
            answer = httpx.get(f"{address}/{INDEX}", timeout=_TIMEOUT_S, follow_redirects=True)
        except httpx.HTTPError as error:
            raise UnavailableError(address, f"cannot be read ({type(error).__name__})", "check the job's `bundles`") from error
        if not answer.is_success or answer.content != (bundle.folder / INDEX).read_bytes():
            raise InputError(address, "does not hold the bundle", f"upload the files of {bundle.folder} there")
        return address
