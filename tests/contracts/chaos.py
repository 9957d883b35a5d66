"""A thousand deployments at random faults, the same for each cloud's double."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.errors import ModelyardError, RefusedError

RATES = {"429": 0.02, "500": 0.02, "dropped": 0.02, "402": 0.003, "403": 0.003, "lost": 0.03, "unhealthy": 0.02, "stuck": 0.02}
STATED = {"deployed", "deleted", "over the cap"}
STATED |= {"InputError", "RefusedError", "UnavailableError", "LostReplyError", "IntegrityError", "BusyError", "DeniedError"}
STATED |= {"ForbiddenError", "UnmetError"}  # of RunPod: a valid key that may not do this; a rule, or no capacity


@dataclass(frozen=True)
class Books:
    """What the double knows of a name, past the target.

    `billed` is what the cap counts, of endpoints that exist; `bills` has each endpoint that ever was. `work` changes
    whenever a worker of that name starts or is asked.
    """

    serves: Callable[[str], str | None]
    billed: Callable[[str], float] = lambda _: 0.0
    bills: Callable[[str], Mapping[str, float]] = lambda _: {}
    work: Callable[[str], object] = lambda _: None


@dataclass
class Chaos:
    """What was asked of a target, and how each attempt ended."""

    target: Any
    bundles: Sequence[Any]
    books: Books
    cap: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    meant: dict[str, int] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    torn: list[str] = field(default_factory=list)
    spans: dict[str, Mapping[str, float]] = field(default_factory=dict)
    dearest: float = 0.0
    quota: int = 0
    """How many were refused for the account's number of workers."""

    def run(self, count: int, passes: Callable, fails: Callable) -> None:
        for number in range(count):
            name, deletes = f"model{number % 20:02d}", number % 9 == 8
            before, billed, work = self.books.serves(name), self.books.billed(name), self.books.work(name)
            if not deletes and billed <= self.cap:
                self._begin_span(name)
            try:
                self._attempt(number, name, deletes, fails if number % 31 == 30 else passes)
            except ModelyardError as error:
                self._ended(name, error, deletes, changed=self.books.serves(name) != before)
            else:
                self.failed.discard(name)
                assert deletes or billed <= self.cap, f"{name} was deployed when it had cost {billed}"
            if billed > self.cap:
                assert self.books.work(name) == work, f"{name} had cost {billed}, and yet a worker ran for it"
        for name in list(self.spans):
            self._begin_span(name)

    def _begin_span(self, name: str) -> None:
        """A deployment's costs last until the next one of that name that may begin: its workers idle for a while."""
        bills, before = self.books.bills(name), self.spans.get(name, {})
        self.dearest = max([self.dearest, *(usd - before.get(number, 0.0) for number, usd in bills.items())])
        self.spans[name] = bills

    def _attempt(self, number: int, name: str, deletes: bool, smoke: Callable) -> None:
        if deletes:
            self.target.delete(name)
            self.meant.pop(name, None)
            self.ends["deleted"] += 1
        else:
            index = (number * 7 + number // 20) % len(self.bundles)
            self.meant[name] = index
            self.target.deploy(name, self.bundles[index], smoke)
            self.ends["deployed"] += 1

    def _ended(self, name: str, error: ModelyardError, deletes: bool, *, changed: bool) -> None:
        over = isinstance(error, RefusedError) and "this month, over the" in str(error)
        self.quota += "over all endpoints" in str(error)
        self.ends["over the cap" if over else type(error).__name__] += 1
        if not over:
            self.failed.add(name)
        if changed:
            self.torn.append(str(error) if not deletes else "could not be restored: half deleted")

    def check(self, leaks: Sequence[str], most_torn: int) -> None:
        """Each ended in a stated way; what is left behind belongs to a name whose last attempt failed."""
        assert set(self.ends) <= STATED
        unsaid = [message for message in self.torn if "could not be restored" not in message]
        assert unsaid == [], unsaid
        assert len(self.torn) < most_torn
        assert {leak for leak in leaks if not any(name in leak for name in self.failed)} == set()

    def repair(self, names: Sequence[str], passes: Callable) -> None:
        """Everything once more, without faults: as it was meant, or gone."""
        for name in sorted(set(names)):
            if name in self.meant:
                self.target.deploy(name, self.bundles[self.meant[name]], passes)
            else:
                self.target.delete(name)
