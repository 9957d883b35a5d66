"""Stores that remote workers download bundles from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import httpx
from pydantic import SecretStr

from registry.errors import DeniedError, InputError, UnavailableError
from serving.bundle.bundle import Bundle
from serving.bundle.checked import INDEX

if TYPE_CHECKING:
    from serving.targets.contract import Publication

_TIMEOUT_S = 30.0
_PRIVATE = {401, 403}
_NONE_NAMED = "keep a token for it as a secret at the provider, and name that in `bundle_secret`"


class BundleStore(Protocol):
    """A store that workers can download from; `base` is its address."""

    @property
    def base(self) -> str:
        """The address below which bundles are."""
        ...

    def put(self, bundle: Bundle) -> str:
        """Make sure that the bundle is there; returns the URL of its folder."""
        ...

    def check(self) -> str:
        """Whether workers can read what will be there, in a line; nothing is uploaded. Raises what `put` would."""
        ...


@runtime_checkable
class Uploads(Protocol):
    """A store that bundles are uploaded to, and not only looked for."""

    def publication(self, bundle: Bundle) -> Publication:
        """What `put` uploads."""
        ...


@dataclass(frozen=True)
class StaticBundleStore:
    """Any web server or bucket: the user uploads, we check that it is there. `base`/DIGEST/ holds one bundle.

    A private one is read with a `token`, which the workers have as the provider's `secret`. Without the token here, what is
    refused to us is left to the workers, who serve no other bytes than the bundle's.
    """

    base: str
    token: SecretStr | None = None
    secret: str | None = None

    def put(self, bundle: Bundle) -> str:
        """The bundle's URL. Raises InputError, saying what to upload, if it is not there."""
        address = f"{self.base.rstrip('/')}/{bundle.index.digest}"
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"} if self.token and self.secret else {}
        try:  # a redirect to another host goes without the token
            answer = httpx.get(f"{address}/{INDEX}", headers=headers, timeout=_TIMEOUT_S, follow_redirects=True)
        except httpx.HTTPError as error:
            raise UnavailableError(address, f"cannot be read ({type(error).__name__})", "check the job's `bundles`") from error
        if answer.status_code in _PRIVATE:
            if self.secret and self.token is None:
                return address
            remedy = "set MODELYARD_BUNDLE_TOKEN to the token that the secret holds" if self.secret else _NONE_NAMED
            raise DeniedError(address, f"may not be read ({answer.status_code})", remedy)
        if not answer.is_success or answer.content != (bundle.folder / INDEX).read_bytes():
            raise InputError(address, "does not hold the bundle", f"upload the files of {bundle.folder} there")
        return address

    def check(self) -> str:
        """Whether the address answers. What lies there is looked at with the bundle at hand."""
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"} if self.token and self.secret else {}
        try:
            answer = httpx.get(self.base, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True)
        except httpx.HTTPError as error:
            why = f"cannot be read from here ({type(error).__name__})"
            raise UnavailableError(self.base, why, "check the job's `bundles`") from error
        if answer.status_code in _PRIVATE and self.secret is None:
            raise DeniedError(self.base, f"may not be read ({answer.status_code})", _NONE_NAMED)
        return f"{self.base} answers; workers read it {f'with the secret {self.secret}' if self.secret else 'without a token'}"
