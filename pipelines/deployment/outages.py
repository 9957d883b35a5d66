"""Accounts at providers that failed lately: asked again when their wait is over, once, and not by each model in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from registry.backoff import LONGEST_S, wait_s
from registry.errors import DeniedError, MissingKeyError, ModelyardError, RefusedError, UnavailableError, WaitingError
from registry.events import now
from registry.files import read_json, write_json
from registry.records import Record

_NAMES = {"runpod": ("RunPod", "RUNPOD_API_KEY"), "huggingface": ("Hugging Face", "HF_TOKEN")}
"""Kind of target → the subjects of errors that are about the account. What one endpoint does wrong is that endpoint's."""


class Account(NamedTuple):
    """A kind of target, and the owner of the endpoints there: what fails together."""

    kind: str
    owner: str = ""

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.kind} {self.owner}".strip()


class Outage(Record):
    """An account that is not asked now: why, how often it failed in a row, and until when.

    `variable` is the key that is not set where the reconciler runs: then nothing failed, and no wait helps.
    """

    kind: str
    owner: str
    reason: str
    failures: int
    until: datetime
    variable: str = ""


@dataclass
class Outages:
    """What failed and when it may be asked again. The wait is counted on a clock that nobody sets."""

    clock: Callable[[], float] = time.monotonic
    _known: dict[Account, tuple[Outage, float]] = field(default_factory=dict[Account, tuple[Outage, float]])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def asking(self, account: Account) -> Iterator[None]:
        """Ask an account within the block. Raises WaitingError, with nothing asked, while its wait is not over.

        A key that is not set is no failure of the account: nobody was asked, so there is nothing to wait for.
        """
        self._check(account)
        try:
            yield
        except MissingKeyError:
            raise
        except ModelyardError as error:
            if _is_of_account(account, error):
                self._failed(account, error)
            raise
        with self._lock:
            self._known.pop(account, None)

    def standing(self) -> list[Outage]:
        """The accounts that are not asked now, by name."""
        with self._lock:
            return [outage for _, (outage, over) in sorted(self._known.items()) if self.clock() < over]

    def _check(self, account: Account) -> None:
        with self._lock:
            outage, over = self._known.get(account, (None, 0.0))
            left = over - self.clock()
        if outage is not None and left > 0:
            raise WaitingError(outage.reason, f"is not asked for another {left:.0f} s", "the reconciler asks again then")

    def _failed(self, account: Account, error: ModelyardError) -> None:
        with self._lock:
            before = self._known.get(account)
            failures = before[0].failures + 1 if before else 1
            wait = wait_s(failures)
            fields = {"failures": failures, "until": now() + timedelta(seconds=wait)}
            outage = Outage.model_validate({"kind": account.kind, "owner": account.owner, "reason": str(error), **fields})
            self._known[account] = outage, self.clock() + wait


def write_outages(path: Path, standing: list[Outage]) -> None:
    """Keep the accounts that are not asked now, for other processes to show."""
    write_json(path, [outage.model_dump(mode="json") for outage in standing])


def read_outages(path: Path, at: datetime) -> list[Outage]:
    """The accounts that the reconciler does not ask at a moment. A file that cannot be read says nothing: it is only shown."""
    try:
        standing = [Outage.model_validate(fields) for fields in read_json(path)]
    except (ModelyardError, ValueError, TypeError):
        return []
    longest = timedelta(seconds=LONGEST_S)
    return [outage for outage in standing if at < outage.until <= at + longest]


def _is_of_account(account: Account, error: ModelyardError) -> bool:
    """Whether every endpoint of the account would meet the same: no key, no access, no credit, or no answer."""
    if isinstance(error, WaitingError) or not isinstance(error, (DeniedError, UnavailableError, RefusedError)):
        return False
    return error.subject in _NAMES.get(account.kind, ())
