"""Publishing on the Hugging Face Hub: one commit makes a repository hold exactly these files, or nothing changes."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import httpx
from pydantic import SecretStr

from registry.backoff import wait_s
from registry.errors import (
    BusyError,
    DeniedError,
    InputError,
    MissingKeyError,
    ModelyardError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    missing_extra,
    shorten,
)
from serving.targets.huggingface.repositories import KEPT, Kind, Repository, check_may_hold
from serving.targets.waiting import tls

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from registry.settings import Settings

URL = "https://huggingface.co"
_TRIES = 5
_TIMEOUT_S = 30.0
_LIBRARY_S = 120.0
"""The library itself has no timeout."""
_LONGEST_WAIT_S = 600.0
T = TypeVar("T")
Files = Mapping[str, bytes | Path]
"""Path in the repository → its content, or the file that holds it."""


@functools.cache
def _set_timeout() -> None:
    """Give the library's connections a time limit, once."""
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def limited() -> httpx2.Client:
        made = default_client_factory()
        made.timeout = httpx2.Timeout(_LIBRARY_S)
        return made

    set_client_factory(limited)


class Owner(NamedTuple):
    """Whose a token is: the account and its organisations; its role, and whether the account can pay, as far as it is known."""

    names: tuple[str, ...]
    role: str
    can_pay: bool | None


@dataclass(frozen=True)
class Hub:
    """An account at the Hub."""

    token: SecretStr
    url: str = URL
    sleep: Callable[[float], object] = time.sleep

    @property
    def api(self) -> HfApi:
        """The library's client."""
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise missing_extra("huggingface_hub", "Hugging Face") from error
        from huggingface_hub import constants
        from huggingface_hub.utils import disable_progress_bars, logging

        _set_timeout()
        disable_progress_bars()
        logging.set_verbosity_error()  # an unchanged commit is not worth a warning
        if self.url != URL:  # the Hub alone has that storage
            constants.HF_HUB_DISABLE_XET = True
        return HfApi(endpoint=self.url, token=self.token.get_secret_value())

    def publish(self, repository: str, files: Files, message: str, *, private: bool = True, kind: Kind = "model") -> str:
        """Publish these files and no others; returns the commit, a new one only if something differs.

        Raises BusyError if somebody else published meanwhile: commits are never mixed. RefusedError as `check_may_hold`.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        there = self.check_may_hold(repository, private=private, kind=kind)
        if there is None:
            self.call(lambda: self._make(repository, kind, private=private))
            there = self.check_may_hold(repository, private=private, kind=kind)  # somebody may have made it meanwhile
            if there is None:
                raise UnavailableError(f"repository {repository}", "was made and is not there", "try again later")
        head = there.commit
        operations: list[Any] = [CommitOperationAdd(name, content) for name, content in sorted(files.items())]
        operations += [CommitOperationDelete(name) for name in sorted(there.files - files.keys() - KEPT)]

        def commit() -> str:
            done = self.api.create_commit(repository, operations, commit_message=message, repo_type=kind, parent_commit=head)
            return str(done.oid)

        try:
            return self.call(commit, repeats=False)
        except UnavailableError:  # it may have been applied: look at the Hub
            now = self._look(repository, kind).commit
            if now != head and self._same(repository, now, files, kind):
                return now
            raise

    def check_may_hold(self, repository: str, *, private: bool, kind: Kind = "model") -> Repository | None:
        """The repository as it is, None where there is none yet.

        Raises RefusedError where it is not as private as is wanted, or holds files that we did not publish.
        """
        try:
            there = self._look(repository, kind)
        except NotFoundError:
            return None
        check_may_hold(
            there,
            lambda name: self.read(repository, there.commit, name, kind),
            lambda: [commit.title for commit in self.call(lambda: self.api.list_repo_commits(repository, repo_type=kind))],
            private=private,
        )
        return there

    def owner(self) -> Owner:
        """Whose token it is, and what it may do. Raises DeniedError for one that is not valid."""
        fields: dict[str, Any] = self.call(self.api.whoami)
        token = (fields.get("auth") or {}).get("accessToken") or {}
        names = (str(fields["name"]), *(str(org["name"]) for org in fields.get("orgs") or ()))
        return Owner(names, str(token.get("role") or ""), fields.get("canPay"))

    def check_may_write(self, *repositories: str) -> None:
        """Raise DeniedError for a token that only reads, or whose owner does not belong to a repository's namespace."""
        owner = self.owner()
        if owner.role == "read":
            raise DeniedError("HF_TOKEN", "may only read", "use a token that may write")
        for repository in repositories:
            if repository.partition("/")[0] not in owner.names:
                whose = f"is {owner.names[0]}'s, who has no namespace '{repository.partition('/')[0]}'"
                raise DeniedError("HF_TOKEN", whose, f"name a repository of {' or '.join(owner.names)}")

    def read(self, repository: str, revision: str, name: str, kind: str = "model") -> bytes:
        """One file. Raises NotFoundError."""
        prefix = "spaces/" if kind == "space" else ""
        address = f"{self.url}/{prefix}{repository}/resolve/{revision}/{name}"
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        trouble = ""
        for tried in range(1, _TRIES + 1):
            try:
                answer = httpx.get(address, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True, verify=tls())
            except httpx.HTTPError as error:
                trouble = f"cannot be read ({type(error).__name__})"
            else:
                if answer.is_success:
                    return answer.content
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise NotFoundError(address, "is not at the Hub", "publish it")
                trouble = f"answered with {answer.status_code}"
                if answer.is_client_error and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    break
            if tried < _TRIES:
                self.sleep(wait_s(tried))
        raise UnavailableError(address, trouble, "try again later")

    def call(self, ask: Callable[[], T], *, repeats: bool = True) -> T:
        """Call the library; retry transient errors where that is safe, and convert errors to ours."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError

        for tried in range(1, _TRIES + 1):
            try:
                return ask()
            except HfHubHTTPError as error:
                code = error.response.status_code
                passing = code in {408, 429} or code >= httpx.codes.INTERNAL_SERVER_ERROR
                if not passing or tried == _TRIES or (not repeats and code != httpx.codes.TOO_MANY_REQUESTS):
                    raise self._problem(error, code) from error
                retry_after = error.response.headers.get("Retry-After", "")
                pause = float(retry_after) if retry_after.isdigit() else wait_s(tried)
                if pause > _LONGEST_WAIT_S:
                    raise UnavailableError("Hugging Face", f"asks to wait {pause:.0f} s", "try again then") from error
                self.sleep(pause)
            except (httpx2.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: one of many uploads failed
                cause = error.__cause__
                refused = isinstance(cause, HfHubHTTPError) and cause.response.status_code < httpx.codes.INTERNAL_SERVER_ERROR
                if isinstance(cause, HfHubHTTPError) and refused:
                    raise self._problem(cause, cause.response.status_code) from error
                if tried == _TRIES or not repeats:
                    name = type(error).__name__
                    raise UnavailableError("Hugging Face", f"does not answer ({name})", "try again later") from error
                self.sleep(wait_s(tried))
        raise AssertionError

    def _make(self, repository: str, kind: str, *, private: bool) -> None:
        """Create the repository if it does not exist."""
        from huggingface_hub.errors import HfUriError

        sdk = "static" if kind == "space" else None
        with suppress(HfUriError):  # what 2.4 raises of another Hub's address once it knows that the repository is there
            self.api.create_repo(repository, private=private, repo_type=kind, space_sdk=sdk, exist_ok=True)

    def _look(self, repository: str, kind: Kind) -> Repository:
        info: Any = self.call(lambda: self.api.repo_info(repository, repo_type=kind))
        files = frozenset(file.rfilename for file in info.siblings or [])
        return Repository(repository, kind, str(info.sha), bool(info.private), files)

    def _same(self, repository: str, revision: str, files: Files, kind: str) -> bool:
        wanted = {name: content.read_bytes() if isinstance(content, Path) else content for name, content in files.items()}
        try:
            return all(self.read(repository, revision, name, kind) == content for name, content in wanted.items())
        except ModelyardError:
            return False

    def _problem(self, error: Exception, code: int) -> ModelyardError:
        detail = shorten(str(error).replace(self.token.get_secret_value(), "***"), 200)
        known: dict[int, tuple[type[ModelyardError], str]] = {
            401: (DeniedError, "set HF_TOKEN to a token that is valid and may write"),
            402: (RefusedError, "add a way to pay to the account"),
            403: (DeniedError, "use a token that may write there"),
            404: (NotFoundError, "check the repository's owner"),
            409: (BusyError, "somebody else changed it just now: try again"),
            412: (BusyError, "somebody else published just now: try again"),
        }
        kind, remedy = known.get(
            code, (InputError if code < httpx.codes.INTERNAL_SERVER_ERROR else UnavailableError, "try again later")
        )
        return kind("Hugging Face", f"answered with {code}: {detail}", remedy)


def hub_of(settings: Settings) -> Hub:
    """The account that HF_TOKEN opens. Raises InputError where it is not set."""
    if settings.hf_token is None:
        raise MissingKeyError("HF_TOKEN", "is not set", "set it to a token that may write, or try `modelyard clouds fake`")
    return Hub(settings.hf_token, settings.hf_url)
